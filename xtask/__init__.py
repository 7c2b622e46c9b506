"""Build automation: `python -m xtask COMMAND`; nothing of it is installed with Busted."""
