"""Which way bytes go, seen from the process that is watched."""

import enum


class Direction(enum.StrEnum):
    """`WRITE` is what the process sends, `READ` what it receives."""

    WRITE = "write"
    READ = "read"
