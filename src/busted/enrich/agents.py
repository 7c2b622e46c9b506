"""Which programs are AI agents, by what they execute.

A program is known by the last part of its path, or of its first argument; one in an interpreted
language, which node or python runs, by its script, or by the package that the script belongs to.
This is what a process says of itself and can be forged, as any name can: what its requests say
is evidence of another kind, and both name a process's agent.

Pure: paths and arguments in, a name out. Left out: hashes of executables, which change with
every release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

# `node --flag=x -r y script`: more options than these before the script were not seen.
MAX_ARGUMENTS = 16

_INTERPRETER = re.compile(r"python[\d.]*|node|nodejs|bun|deno|tsx|sh|bash|dash|zsh")
# What an installed package's directory stands in, for Node and for Python.
_PACKAGE_ROOTS = frozenset({"node_modules", "site-packages", "dist-packages"})
# What follows is a program, no script.
_PROGRAM_OPTIONS = frozenset({"-c", "-e", "--eval"})


class Agent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One agent: its name, and how its processes are known.

    `executables` are file names. `packages` are parts of a path, such as `@openai/codex`: of a
    Node or Python package, a Python module, or the executable's own directory. With `arguments`
    an executable counts only if the first argument that is no option is one of these, or absent.
    """

    name: str
    executables: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


class Agents:
    """The known agents; rows that come first win."""

    def __init__(self, rows: Iterable[Agent]) -> None:
        """Index the rows."""
        self._executables: dict[str, list[Agent]] = {}
        self._packages: dict[tuple[str, ...], Agent] = {}
        for row in rows:
            for executable in row.executables:
                self._executables.setdefault(executable, []).append(row)
            for package in row.packages:
                self._packages.setdefault(tuple(package.split("/")), row)

    @property
    def names(self) -> frozenset[str]:
        """Names of the agents that can be known by what they execute."""
        rows = (row for rows in self._executables.values() for row in rows)
        return frozenset(row.name for row in (*rows, *self._packages.values()))

    @property
    def words(self) -> frozenset[str]:
        """Parts of paths without one of which no process is known for an agent."""
        return frozenset(self._executables).union(
            parts[-1] for parts in self._packages if self._executables.keys().isdisjoint(parts)
        )

    def recognise(self, path: str, argv: Sequence[str]) -> str | None:
        """Return the name of the agent that a process is, or None; `path` is what it executed."""
        argv = argv[: MAX_ARGUMENTS + 1]
        programs = (path, *argv[:1])
        for program in programs:
            if name := self._executable(program, argv[1:]) or self._directory(program):
                return name
        if any(_INTERPRETER.fullmatch(_file_name(program)) for program in programs):
            return self._interpreted(argv[1:])
        return None

    def _executable(self, path: str, arguments: Sequence[str]) -> str | None:
        name = _file_name(path)
        first = next((word for word in arguments if not word.startswith("-")), None)
        for row in self._executables.get(name, ()):
            if not row.arguments or first is None or first in row.arguments:
                return row.name
        return None

    def _directory(self, path: str) -> str | None:
        parts = path.split("/")
        return self._package(
            tuple(parts[i : i + length])
            for i in range(len(parts) - 1)
            for length in (1, 2)
            # One part alone is too little, unless it stands where packages do.
            if length == 2 or (i and parts[i - 1] in _PACKAGE_ROOTS)
        )

    def _interpreted(self, arguments: Sequence[str]) -> str | None:
        for i, word in enumerate(arguments):
            if word in _PROGRAM_OPTIONS:
                return None
            if word == "-m" and i + 1 < len(arguments):
                return self._package([(arguments[i + 1],)])
            if not word.startswith("-"):
                found = self._executable(word, arguments[i + 1 :]) or self._directory(word)
                # An option may have a value of its own before the script, and most scripts
                # are no agents: a word that has no slash is no script that was installed.
                if found or "/" in word:
                    return found
        return None

    def _package(self, candidates: Iterable[tuple[str, ...]]) -> str | None:
        for parts in candidates:
            if row := self._packages.get(parts):
                return row.name
        return None


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]
