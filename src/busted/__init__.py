"""Busted: see what AI agents on this host say to LLMs, and stop what policy forbids."""

__version__ = "0.1.0"
