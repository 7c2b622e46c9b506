"""Make the golden files anew: `python -m tests.golden.make [NAME...]`, as root, or `--expect`.

Records what real clients say in the test bed of tests/e2e, then keeps of it, for each client,
its own records, and the events that they give; only of those that are named, if any are.
`--expect` records nothing: it writes the events that the recordings give now, whose
difference is then to be looked at.

Names of this host, paths and keys are replaced, by as many bytes where they are in records.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath

import msgspec

from busted.agent import recording
from busted.agent.recording import Frame, Header, LibraryFacts, RawRecord, RecordingWriter, Tick
from busted.enrich.processes import ProcessFacts
from busted.records import TlsOpen, decode
from tests.e2e.a2a import EXCHANGES, a2a_command, a2a_server
from tests.e2e.bed import CLIENTS, KEYS, OPERATIONS, Bed, bed, python
from tests.e2e.examples import PROMPT
from tests.e2e.front import AT_FRONT, http2_front
from tests.e2e.mcp import MODES, mcp_command, mcp_server
from tests.e2e.monitor import Monitor
from tests.golden.expected import HERE, RECORDINGS, as_lines, expected, replayed


def main() -> None:
    """Do what the command line says."""
    if sys.argv[1:] != ["--expect"]:
        with tempfile.TemporaryDirectory() as directory:
            record(Path(directory), sys.argv[1:])
    for path in sorted(HERE.glob("*.rec")):
        expected(path).write_text(as_lines(replayed(path)))


def record(directory: Path, names: Sequence[str]) -> None:
    """Run each client once under one monitor, and write a recording for each."""
    whole = directory / "whole.rec"
    with bed(directory) as test_bed, Monitor("--record", str(whole)) as monitor:
        pids = ask_all(test_bed, monitor, directory, names)
        monitor.stop()
    for path in RECORDINGS:
        if path.stem in pids or not names:
            path.unlink()
    for name, pid in pids.items():
        header, frames = recording.read(whole)
        origin = msgspec.structs.replace(header.origin, host="host", seed=b"golden")
        writer = RecordingWriter(HERE / f"{name}.rec", Header(origin=origin))
        for frame in of_process(pid, frames):
            if isinstance(frame, RawRecord):
                writer.record(frame.raw)
            else:
                writer.add(frame)
        writer.close()
        (HERE / f"{name}.rec").chmod(0o644)


def ask_all(
    test_bed: Bed, monitor: Monitor, directory: Path, names: Sequence[str]
) -> dict[str, int]:
    """Run clients until all is told of them; return their pids by the names of recordings."""
    pids: dict[str, int] = {}

    def run(
        name: str, command: list[str], kind: str, count: int, environment: Mapping[str, str] = {}
    ) -> None:
        if names and name not in names:
            return
        finished = test_bed.sandbox.run(command, environment=environment)
        assert finished.code == 0, finished.stderr.decode()
        pids[name] = finished.pid
        monitor.wait_for(finished.pid, kind, count)

    for name, client in CLIENTS.items():
        run(name, client.command(PROMPT), "Response", 2 if client.tools else 1)
    for name, operation in OPERATIONS.items():
        run(name, operation.command(PROMPT), "Response", 1)
    with http2_front(test_bed):
        prompts = [f"{i}: {PROMPT}" for i in range(3)]
        command = python("openai_http2", "--stream")(*prompts)
        run("openai_http2", command, "Response", len(prompts), AT_FRONT)
    with mcp_server(test_bed, directory / "mcp") as authority:
        for mode in MODES:
            # The listing and at least one call.
            run(f"mcp_{mode}", mcp_command(mode, PROMPT), "McpResponse", 2, authority)
    authority = a2a_server(test_bed, directory / "a2a")
    for mode in ("rpc", "rest_stream", "old_stream"):
        run(f"a2a_{mode}", a2a_command(mode, PROMPT), "A2aResponse", EXCHANGES, authority)
    return pids


def of_process(pid: int, frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield the frames that a process needs, with nothing of this host in them."""
    libraries: dict[int, LibraryFacts] = {}
    last: Tick | None = None
    for frame in frames:
        match frame:
            case LibraryFacts():
                libraries[frame.cookie] = frame
            case ProcessFacts() if frame.pid == pid:
                exe = f"/usr/bin/{PurePath(frame.exe or '').name}"
                argv = (blanked(argument.encode()).decode() for argument in frame.argv)
                argv = (PurePath(a).name if a.startswith("/") else a for a in argv)
                yield msgspec.structs.replace(frame, exe=exe, argv=tuple(argv), build_id=None)
            case RawRecord():
                record = decode(frame.raw)
                if record.key.pid != pid:
                    continue
                if isinstance(record, TlsOpen) and (hooked := libraries.pop(record.library, None)):
                    path = f"/usr/lib/{PurePath(hooked.library.path).name}"
                    library = msgspec.structs.replace(hooked.library, path=path, processes=1)
                    yield msgspec.structs.replace(hooked, library=library)
                yield RawRecord(blanked(frame.raw))
            case Tick():
                last = frame
    if last is not None:
        yield msgspec.structs.replace(last, last=True)


def blanked(data: bytes) -> bytes:
    """Return bytes with each key, and the name of this host's kernel, as so many dots."""
    for text in (*KEYS, platform.release()):
        data = data.replace(text.encode(), b"." * len(text))
    return data


if __name__ == "__main__":
    main()
