"""A real monitor with everything on, asked over its socket by the commands that people use."""

from __future__ import annotations
