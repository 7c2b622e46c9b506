"""Taking on a changed configuration file while the monitor runs.

What is known of the world can change at any moment: tables of providers, prices, agents, sensitive
files, rules and canaries. All else was decided when programs were loaded, privileges given up
and outputs opened, and takes a restart. A file that makes no sense changes nothing: a monitor with
the rows of yesterday is better than one without any.

Left out: looking at the file by itself. A file that is being written is half a file; whoever is
done says so (SIGHUP).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from busted.agent import config_file
from busted.agent.config import ConfigError, Tables
from busted.agent.config_file import ConfigFile

log = logging.getLogger(__name__)

# What is opened once, of the tables that hold no settings.
_OPENED_ONCE = frozenset({"outputs", "embed"})


class Reload:
    """Reads the file of a monitor again when it is asked to."""

    def __init__(
        self,
        file: ConfigFile,
        learn: Callable[[Tables], None],
        refused: Callable[[str | None], None],
    ) -> None:
        """`file` is what holds now; `learn` takes changed tables, `refused` why there are none to
        take, None when all is well. Both are called in the loop.
        """
        self._file, self._learn, self._refused = file, learn, refused

    def ask(self, done: Callable[[], object] = lambda: None) -> None:
        """Read the file soon, from another thread, take it on in the loop, and call `done`."""
        loop = asyncio.get_running_loop()

        def take(read: asyncio.Future[ConfigFile]) -> None:
            self._take(read)
            done()

        loop.run_in_executor(None, self._read).add_done_callback(take)

    def _read(self) -> ConfigFile:
        path: Path | None = self._file.path or config_file.find()
        file = config_file.read(path) if path else self._file
        # Here nobody waits for it, in the loop a request would.
        file.tables.options.scanner.prepare()
        return file

    def _take(self, read: asyncio.Future[ConfigFile]) -> None:
        try:
            new = read.result()
        except ConfigError as error:
            log.warning("the configuration stays as it was: %s", error)
            self._refused(str(error))
            return
        old, self._file = self._file, new
        self._refused(None)
        rows = {name for name in old.rows | new.rows if old.rows.get(name) != new.rows.get(name)}
        if learned := sorted(rows - _OPENED_ONCE):
            self._learn(new.tables)
            log.warning("%s: changed, and taken on: %s", new.path, ", ".join(learned))
        keys = {key for key in old.values | new.values if _value(old, key) != _value(new, key)}
        if waiting := sorted((rows & _OPENED_ONCE) | keys):
            log.warning("%s: changed, but takes a restart: %s", new.path, ", ".join(waiting))


def _value(file: ConfigFile, key: str) -> object:
    return file.values[key].value if key in file.values else config_file.setting_of(key).default
