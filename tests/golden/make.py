"""Make the golden files anew: `python -m tests.golden.make`, as root, or with `--expect`.

Records what real clients say in the test bed of tests/e2e, then keeps of it, for each client,
its own records, and the events that they give. `--expect` records nothing: it writes the
events that the recordings give now, whose difference is then to be looked at.

Names of this host, paths and keys are replaced, by as many bytes where they are in records.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

import msgspec

from busted.agent import recording
from busted.agent.recording import Frame, Header, LibraryFacts, RawRecord, RecordingWriter, Tick
from busted.enrich.processes import ProcessFacts
from busted.records import TlsOpen, decode
from tests.e2e.bed import ANTHROPIC_KEY, CLIENTS, OPENAI_KEY, bed
from tests.e2e.examples import PROMPT
from tests.e2e.mcp import MODES, mcp_command, mcp_server
from tests.e2e.monitor import Monitor
from tests.golden.expected import HERE, RECORDINGS, as_lines, expected, replayed


def main() -> None:
    """Do what the command line says."""
    if sys.argv[1:] != ["--expect"]:
        with tempfile.TemporaryDirectory() as directory:
            record(Path(directory))
    for path in sorted(HERE.glob("*.rec")):
        expected(path).write_text(as_lines(replayed(path)))


def record(directory: Path) -> None:
    """Run each client once under one monitor, and write a recording for each."""
    whole = directory / "whole.rec"
    with bed(directory) as test_bed, Monitor("--record", str(whole)) as monitor:
        authority = mcp_server(test_bed, directory / "mcp")
        pids: dict[str, int] = {}
        for name, client in CLIENTS.items():
            finished = test_bed.ask(name, PROMPT)
            assert finished.code == 0, finished.stderr.decode()
            pids[name] = finished.pid
            monitor.wait_for(finished.pid, "Response", 2 if client.tools else 1)
        for mode in MODES:
            finished = test_bed.sandbox.run(mcp_command(mode, PROMPT), environment=authority)
            assert finished.code == 0, finished.stderr.decode()
            pids[f"mcp_{mode}"] = finished.pid
            # The listing and at least one call.
            monitor.wait_for(finished.pid, "McpResponse", 2)
        monitor.stop()
    for path in RECORDINGS:
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
                argv = (without_keys(argument.encode()).decode() for argument in frame.argv)
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
                yield RawRecord(without_keys(frame.raw))
            case Tick():
                last = frame
    if last is not None:
        yield msgspec.structs.replace(last, last=True)


def without_keys(data: bytes) -> bytes:
    """Return bytes with each key replaced by as many dots."""
    for key in (OPENAI_KEY, ANTHROPIC_KEY):
        data = data.replace(key.encode(), b"." * len(key))
    return data


if __name__ == "__main__":
    main()
