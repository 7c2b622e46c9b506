"""The configuration file: TOML with a table for each group of settings, and tables of rows.

It is read as a whole and checked as a whole, so that it is taken on or refused as one. An error
names the file, the line where that is known, and what may have been meant. What says where a
root's program writes and what it obeys must not be anybody's to change: a file that others can
write is refused.

Left out: lines of rows, since TOML as Python reads it does not tell where a value stands; rows are
told by their number. The directory that the file is in is not looked at.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from busted.agent.config import DEFAULT_TABLES, TABLES, ConfigError, Tables, tables_of
from busted.agent.settings import PREFIX, Setting, Value, WrongValue
from busted.agent.settings_table import SECTIONS, SETTINGS

# Some hundred rows at most; more is another file given by mistake, or /dev/zero.
MAX_CONFIG_BYTES = 1 << 20
FILE_NAME = "config.toml"
FILE_VARIABLE = f"{PREFIX}CONFIG"

_BY_KEY = {setting.key: setting for setting in SETTINGS}


class ConfigFile(msgspec.Struct, frozen=True):
    """What a file says: settings by key, and tables. Without a file nothing is said."""

    path: Path | None = None
    values: dict[str, Value] = {}
    tables: Tables = DEFAULT_TABLES
    rows: dict[str, Any] = {}
    """The tables as they stand in the file, by name."""

    def count(self, table: str) -> int:
        """Return how many rows a table has; `pii` is one."""
        rows = self.rows.get(table, ())
        return len(rows) if isinstance(rows, list) else 1


def find(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file of this host: what BUSTED_CONFIG names, else config.toml if it is there.

    systemd.exec(5), ConfigurationDirectory: several are separated by colons.
    """
    if given := environment.get(FILE_VARIABLE):
        return Path(given)
    directory = environment.get("CONFIGURATION_DIRECTORY", "/etc/busted").partition(":")[0]
    path = Path(directory, FILE_NAME)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        pass  # there may be one: reading it says why that cannot be known
    return path


def read(path: Path) -> ConfigFile:
    """Return what a file says, checked. Raises ConfigError."""
    text = _text(path)
    try:
        given = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        raise ConfigError(f"{path} is no TOML: {error}") from error
    for name in given:
        if name not in SECTIONS and name not in TABLES:
            raise ConfigError(f"{_place(path, text, '', name)}: {_unknown('', name)}")
    values: dict[str, Value] = {}
    for section in SECTIONS:
        table = given.get(section, {})
        if not isinstance(table, dict):
            raise ConfigError(
                f"{_place(path, text, '', section)}: {section} is no table: "
                f"begin it with [{section}]"
            )
        values |= _values(path, text, section, table)
    rows = {name: given[name] for name in TABLES if name in given}
    return ConfigFile(path, values, tables_of(path, given), rows)


def _values(path: Path, text: str, section: str, table: Mapping[str, Any]) -> dict[str, Value]:
    values = {}
    for name, given in table.items():
        place = _place(path, text, section, name)
        setting = _BY_KEY.get(f"{section}.{name}")
        if setting is None:
            raise ConfigError(f"{place}: {_unknown(section, name)}")
        try:
            value = setting.of_value(given)
        except WrongValue as error:
            raise ConfigError(f"{place}: {setting.key}: {error}") from error
        values[setting.key] = Value(value, "file", place)
    return values


def _text(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            if others := _others(os.fstat(file.fileno())):
                raise ConfigError(
                    f"{path} is refused, since {others}: chown root {path}; chmod go-w {path}"
                )
            content = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path} has more than {MAX_CONFIG_BYTES:,} bytes: no configuration file")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error


def _others(status: os.stat_result) -> str | None:
    """Return who else may write a file; None where it is nobody, or no regular file."""
    if not stat.S_ISREG(status.st_mode):
        return None  # a pipe, or /dev/null for no file at all
    if status.st_uid not in (0, os.geteuid()):
        return f"it belongs to another user ({status.st_uid})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others than its owner can write it"
    return None


def _unknown(section: str, name: str) -> str:
    key = f"{section}.{name}" if section else name
    return f"nothing is called {key!r}{_meant(section, name)}"


def _meant(section: str, name: str) -> str:
    """Return what may have been meant: the same by another name, or what is written alike."""
    near = _names(section) if section else [*SECTIONS, *TABLES]
    alike = difflib.get_close_matches(name, near, 1)
    found = [s.key for s in SETTINGS if name in (s.argument, s.key.partition(".")[2])]
    if section and alike:
        found = [f"{section}.{alike[0]}"]
    found = found or alike
    meant = " or ".join(map(repr, found))
    return f"; did you mean {meant}?" if found else f"; there are {', '.join(near)}"


def _names(section: str) -> list[str]:
    return [key.partition(".")[2] for key in _BY_KEY if key.startswith(f"{section}.")]


def _place(path: Path, text: str, section: str, name: str) -> str:
    number = _line(text.splitlines(), section, name)
    return f"{path}, line {number}" if number else str(path)


def _line(lines: Iterable[str], section: str, name: str) -> int | None:
    """Return the line of a key or table; None where it is written in a way not looked for."""
    header = re.compile(r"\s*\[+\s*([\w.-]+)")
    key = re.compile(rf"\s*[\"']?{re.escape(name)}[\"']?\s*[.=]")
    inside = ""
    for number, line in enumerate(lines, 1):
        if found := header.match(line):
            inside = found[1]
            if not section and inside.partition(".")[0] == name:
                return number
        elif inside == section and key.match(line):
            return number
    return None


def setting_of(key: str) -> Setting:
    """Return a setting by its key."""
    return _BY_KEY[key]
