"""The `busted` command: options in, exit codes out; what it does is in `busted.agent`."""
