"""The import rules of docs/architecture.md, as tables. Imports point down, never sideways."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "busted"

# room: what of ours it may import, whole rooms or single modules of them. A room that is not
# here may not exist. `agent` alone sees everything it puts together.
ALLOWED: dict[str, set[str]] = {
    "records": set(),
    "state": set(),
    "events": set(),
    "protocols": set(),
    "kernel": {"records"},
    "streams": {"records", "protocols"},
    "classifier": {"events", "protocols"},
    "enrich": {"events"},
    "identity": {"records", "events", "protocols"},
    "ml": {"records"},
    "policy": {"events"},
    "sinks": {"events", "state"},
    "ui": {"events"},
    "agent": {
        *("records", "events", "protocols", "kernel", "streams", "classifier", "enrich", "policy"),
        *("identity", "ml", "sinks"),
        # Of the dashboard's room only what it asks for.
        "ui.source",
    },
    # Of the kernel room only the error that says why this host will not do.
    "cli": {
        *("agent", "events", "classifier", "identity", "ml", "policy", "sinks", "state", "ui"),
        "kernel.features",
    },
}

# These do no I/O, start nothing and know no clock: time is an argument.
PURE = {"records", "events", "protocols", "streams", "classifier", "identity", "ml"}
# What of a pure room keeps things, and is handed to the rest of it.
IMPURE_FILES = {"identity/store.py"}
IMPURE_MODULES = {
    *("asyncio", "concurrent", "multiprocessing", "queue", "select", "selectors", "signal"),
    *("ctypes", "fcntl", "http", "io", "mmap", "os", "pathlib", "shutil", "socket", "ssl"),
    *("subprocess", "sys", "tempfile", "threading", "urllib", "datetime", "random", "secrets"),
    *("time", "logging"),
}
IMPURE_BUILTINS = {"open", "print", "input", "breakpoint", "exec", "eval"}


def room(file: Path) -> str:
    return file.relative_to(SRC).parts[0].removesuffix(".py")


FILES = sorted(f for f in SRC.rglob("*.py") if room(f) != "__init__")
every_file = pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SRC)))


def imports(file: Path) -> Iterator[str]:
    """Full names of what is imported anywhere in the file, functions included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: use absolute imports, so that this test can read them"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, places: set[str]) -> bool:
    return any(f"{name}.".startswith(f"busted.{place}.") for place in places)


@every_file
def test_a_room_imports_only_what_is_below_it(file: Path) -> None:
    ours = {name for name in imports(file) if name.split(".")[0] == "busted"}

    allowed = ALLOWED[room(file)] | {room(file), "__version__"}
    assert {name for name in ours if not within(name, allowed)} == set()


@pytest.mark.parametrize("name", sorted(PURE))
def test_a_pure_room_does_no_io_and_knows_no_clock(name: str) -> None:
    for file in (f for f in FILES if room(f) == name):
        if str(file.relative_to(SRC)) in IMPURE_FILES:
            continue
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert {i.split(".")[0] for i in imports(file)} & IMPURE_MODULES == set(), file
        assert calls & IMPURE_BUILTINS == set(), file


def test_the_table_lists_the_rooms_that_exist() -> None:
    assert {room(file) for file in FILES} == ALLOWED.keys()


def test_only_the_kernel_room_touches_libbpf_and_foreign_memory() -> None:
    users = {room(file) for file in FILES if {"ctypes", "mmap"} & set(imports(file))}
    assert users <= {"kernel"}
