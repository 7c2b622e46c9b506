import io
import os
import sys
import threading
from collections.abc import Iterator

import pytest

from busted.cli import output
from busted.cli.output import Output, OutputError, shown
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

    def output(self, format: str) -> Output:
        """Open the pipe as the output. Not before the test runs: pytest sets stdout as well."""
        self._monkeypatch.setattr(sys, "stdout", self.writer)
        return Output(format, "full")


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
