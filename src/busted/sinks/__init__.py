"""Takes events out: each sink has a queue of its own with a limit, and counts what it drops."""
