"""How a stage runs: its errors, its command line, its progress and what it takes; nothing of the domain."""
