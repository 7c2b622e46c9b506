"""Adds to events what the host knows: processes, and later containers and pods."""
