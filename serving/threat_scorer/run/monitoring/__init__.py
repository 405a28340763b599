"""What the running scorer reports of itself: counters, health, metrics, log, systemd."""
