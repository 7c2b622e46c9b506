"""Where Busted keeps what outlives a run, unless the operator names another place.

Left out: making the directory. Who keeps something there does, with the permissions it needs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Return systemd's choice, or /var/lib/busted.

    systemd.exec(5), StateDirectory: several are separated by colons.
    """
    return Path(environment.get("STATE_DIRECTORY", "/var/lib/busted").partition(":")[0])


def spool() -> Path:
    """Return the directory of the events that wait for their receivers."""
    return directory() / "spool"


def history() -> Path:
    """Return the file of the history that commands read."""
    return directory() / "history.db"
