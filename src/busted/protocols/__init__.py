"""Bytes in, version-neutral messages out: incremental, bounded, and deaf to bad input."""
