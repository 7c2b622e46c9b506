"""What Busted costs and what it can take: `python -m benchmarks`, as root; docs/benchmarks.md."""
