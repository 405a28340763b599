"""What the running scorer tells of itself: counters, health, metrics, log, systemd."""
