"""What program a process is, without what changes between its versions, users and runs.

A program is its executable's path, or, where an interpreter runs a script, that script or module.
Versions and hashes in paths are left out, and everybody's home is one place. Of the arguments
only those that choose a configuration count; others are different in each run.

Left out: the working directory, which events do not have, so two scripts of one relative path
are one program.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

# More options than these before a script were not seen, and a configuration stands early.
MAX_ARGUMENTS = 32
MAX_PATH_CHARS = 256

_VERSION = re.compile(r"v?\d+(?:\.\d+)+(?:[-+][\w.+-]*)?|(?<![\w])(?=[a-z]*\d)[0-9a-z]{16,}")
_HOME = re.compile(r"^/(?:home/[^/]+|root)(?=/)")
_INTERPRETER = re.compile(
    r"(python|node|nodejs|bun|deno|tsx|sh|bash|dash|zsh|ruby|perl|php|java)[\d.]*"
)
# Programs that send whatever their user types: who runs one is no agent by that.
_GENERIC = frozenset(("curl", "wget", "http", "https", "xh", "nc", "ncat", "socat", "openssl"))
# An option whose value says which of several agents in one program this is.
_CONFIGURATION = frozenset(
    ("--config", "--profile", "--agent", "--agent-name", "--name", "--role", "--persona")
)
_CODE = frozenset(("-c", "-e", "--eval", "-p"))
# Options of interpreters that have a value of their own behind them.
_WITH_VALUE = frozenset(("-r", "--require", "--import", "--loader", "-W", "-X", "-jar", "-cp"))


class Program(msgspec.Struct, frozen=True):
    """`key` names it, `name` is for people; a `generic` one says little of who speaks.

    Without a `key` it is unknown: its process was gone before it was looked at.

    `configuration` is what its arguments choose; empty where they choose nothing. The executable
    of an `interpreted` one is its interpreter's.
    """

    key: str
    name: str
    generic: bool
    configuration: str = ""
    interpreted: bool = False


UNKNOWN = Program("", "", True)


def program_of(exe: str | None, argv: Sequence[str], name: str = "") -> Program:
    """Return the program of a process; `name` is the kernel's, for one that is gone."""
    argv = argv[:MAX_ARGUMENTS]
    if exe is None:
        return Program("", name, True)
    path = _unversioned(exe)
    file = _file(exe)
    if match := _INTERPRETER.fullmatch(file):
        return _interpreted(match[1], argv)
    return Program(path, _file(path).strip("-#") or path, file in _GENERIC, _configuration(argv))


def _interpreted(interpreter: str, argv: Sequence[str]) -> Program:
    words = iter(argv[1:])
    for word in words:
        if word in _CODE:
            break
        if word == "-m":
            module = next(words, "")[:MAX_PATH_CHARS]
            return Program(
                f"{interpreter} -m {module}", module, not module, _configuration(argv), True
            )
        if word == "-jar":
            word = next(words, "")
        elif word in _WITH_VALUE:
            next(words, "")
            continue
        if word and not word.startswith("-"):
            script = _unversioned(word)
            return Program(
                f"{interpreter} {script}", _file(script), False, _configuration(argv), True
            )
    # A program that renames itself has left its arguments: the first one is its name.
    title = argv[0] if len(argv) == 1 else interpreter
    if not _INTERPRETER.fullmatch(_file(title)):
        title = _unversioned(title)
        return Program(f"{interpreter} {title}", _file(title), False, "", True)
    return Program(interpreter, interpreter, True, "", True)


def _configuration(argv: Sequence[str]) -> str:
    chosen = []
    for i, word in enumerate(argv):
        option, equals, value = word.partition("=")
        if option in _CONFIGURATION:
            if not equals:
                value = argv[i + 1] if i + 1 < len(argv) else ""
            chosen.append(f"{option}={value[:MAX_PATH_CHARS]}")
    return " ".join(sorted(chosen))


def _unversioned(path: str) -> str:
    return _VERSION.sub("#", _HOME.sub("~", path[:MAX_PATH_CHARS]))


def _file(path: str) -> str:
    return path.rpartition("/")[2]
