import io
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from busted.cli import output
from busted.cli.output import Output, OutputError, shown
from busted.sinks import jsonl
from busted.sinks.kinds import parse
from tests.unit.cli.command import run
from tests.unit.sinks.samples import COVERAGE, PII, event

DEADLINE = 20.0
EVENT = event(COVERAGE)


class Pipe:
    """Takes the place of standard output; nobody reads it but the test, in the end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        descriptor, write = os.pipe()
        self.reader = open(descriptor, "rb")  # noqa: SIM115 (closed by the fixture)
        self.writer = open(write, "w")  # noqa: SIM115
        self._monkeypatch = monkeypatch

    def output(self, format: str, *choices: str) -> Output:
        """Open the pipe as the output. Not before the test runs: pytest sets stdout as well."""
        self._monkeypatch.setattr(sys, "stdout", self.writer)
        return Output(format, "full", [parse(choice) for choice in choices])


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    pipe = Pipe(monkeypatch)
    with pipe.reader, pipe.writer:
        yield pipe


def test_a_reader_too_slow_loses_counted_events(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "DRAIN_SECONDS", 0)
    sink = pipe.output("json")
    produced = 20_000

    for _ in range(produced):
        sink.write(EVENT)
    sink.close()
    lost = sink.lost()["output"]
    pipe.writer.close()

    whole = [line for line in pipe.reader if line.endswith(b"\n")]
    # The one that the writer was stuck in is counted as lost, and may come out after all.
    assert produced - lost <= len(whole) <= produced - lost + 1
    assert f"busted: {lost:,} events were not shown" in capsys.readouterr().err


def test_a_reader_that_left_is_told_to_the_owner_and_is_no_error(
    pipe: Pipe, capsys: pytest.CaptureFixture[str]
) -> None:
    told = threading.Event()
    sink = pipe.output("text")
    sink.when_closed(told.set)
    pipe.reader.close()

    sink.write(EVENT)

    assert told.wait(DEADLINE)
    sink.close()
    assert capsys.readouterr().err == ""


def test_an_owner_that_ended_first_is_no_trouble(pipe: Pipe) -> None:
    called = threading.Event()

    def ended() -> None:
        called.set()
        raise RuntimeError("Event loop is closed")

    sink = pipe.output("text")
    sink.when_closed(ended)
    pipe.reader.close()
    sink.write(EVENT)

    assert called.wait(DEADLINE)
    sink.close()


@pytest.mark.needs("full device")
def test_output_that_fails_is_an_error_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        sink = Output("text", "redacted")
        sink.write(EVENT)
        with pytest.raises(OutputError, match="No space left on device"):
            sink.close()


def test_closed_standard_output_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)

    with pytest.raises(OutputError, match="it is closed"):
        Output("text", "redacted")


def test_events_go_to_all_outputs_and_standard_output_is_one_of_them(
    pipe: Pipe, tmp_path: Path
) -> None:
    sink = pipe.output("text", f"file:{tmp_path / 'events'}", "stdout:?format=json")
    sink.write(EVENT)
    sink.close()
    pipe.writer.close()

    assert (tmp_path / "events").read_bytes() == jsonl.render(EVENT) == pipe.reader.read()
    assert sink.lost() == {}


def test_standard_output_is_silent_where_only_others_are_chosen(pipe: Pipe, tmp_path: Path) -> None:
    sink = pipe.output("text", f"file:{tmp_path / 'events'}")
    sink.write(EVENT)
    sink.close()
    pipe.writer.close()

    assert pipe.reader.read() == b""


def test_what_an_output_lost_or_kept_is_told_in_the_end(
    pipe: Pipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(output, "DRAIN_SECONDS", 0.2)
    away = "unix:/nobody/there"
    sink = pipe.output("text", f"{away}?spool=off&name=a", f"{away}?spool={tmp_path}&name=b")
    sink.write(EVENT)
    sink.close()

    said = capsys.readouterr().err
    assert "busted: output a: 1 events lost (stopped)" in said
    assert "busted: output b: 1 events stay in its spool" in said
    assert sink.lost() == {"sink_a": 1}


@pytest.mark.parametrize("text", ["fax:1", "file:/x?keep=0", "file:/x?keep"])
def test_an_output_that_makes_no_sense_is_a_matter_of_usage(text: str) -> None:
    done = run("monitor", "--output", text)

    assert done.returncode == 2
    assert done.stderr.startswith(b"busted: ")
    assert done.stderr.count(b"\n") == 1


def test_two_outputs_of_one_name_are_a_matter_of_usage() -> None:
    done = run("monitor", "--output", "file:/x", "--output", "file:/y")

    assert done.returncode == 2
    assert b"two outputs are called 'file'" in done.stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("1", False), ("", True)])
def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, no_color: str | None, coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    assert b"\x1b" not in shown("text", "redacted")(event(PII))

    monkeypatch.setattr(sys, "stdout", Terminal())

    assert (b"\x1b" in shown("text", "redacted")(event(PII))) is coloured
