import io
import os
import threading
from collections.abc import Iterator
from typing import BinaryIO, cast

import pytest

from busted.events import Event
from busted.sinks.writer import Writer
from tests.unit.sinks.samples import PII, event

DEADLINE = 20.0
EVENT = event(PII)
LINE = b"a line\n"


def line(_: Event) -> bytes:
    return LINE


class SlowReader(io.RawIOBase):
    """A pipe whose reader takes nothing until it is `released`."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = b""
        self.reached, self.released = threading.Event(), threading.Event()

    def write(self, data: object) -> int:
        self.reached.set()
        assert self.released.wait(DEADLINE)
        self.taken += bytes(cast(bytes, data))
        return len(cast(bytes, data))


@pytest.fixture
def pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    read, write = os.pipe()
    with open(read, "rb", buffering=0) as reader, open(write, "wb", buffering=0) as writer:
        yield reader, writer


def test_every_event_is_written_in_order() -> None:
    stream = io.BytesIO()
    count = iter(range(100))
    sink = Writer(stream, lambda _: f"{next(count)}\n".encode())

    for _ in range(100):
        sink.write(EVENT)
    sink.close(DEADLINE)

    assert stream.getvalue().split() == [str(n).encode() for n in range(100)]
    assert (sink.delivered, sink.lost, sink.error) == (100, 0, None)


def test_a_slow_reader_loses_new_events_which_are_counted() -> None:
    stream = SlowReader()
    sink = Writer(cast(BinaryIO, stream), line, max_events=3)
    sink.write(EVENT)
    assert stream.reached.wait(DEADLINE)

    for _ in range(10):
        sink.write(EVENT)
    assert sink.lost == 8  # the one being written still takes a place
    stream.released.set()
    sink.close(DEADLINE)

    assert stream.taken == LINE * 3
    assert (sink.delivered, sink.lost) == (3, 8)


def test_the_queue_is_bounded_in_bytes() -> None:
    stream = SlowReader()
    sink = Writer(cast(BinaryIO, stream), line, max_bytes=2 * len(LINE))

    for _ in range(5):
        sink.write(EVENT)
    stream.released.set()
    sink.close(DEADLINE)

    assert (sink.delivered, sink.lost) == (2, 3)


def test_closing_gives_up_at_its_deadline_and_counts_the_rest() -> None:
    stream = SlowReader()
    sink = Writer(cast(BinaryIO, stream), line)
    for _ in range(5):
        sink.write(EVENT)
    assert stream.reached.wait(DEADLINE)

    sink.close(0)
    stream.released.set()
    sink.write(EVENT)

    assert (sink.delivered, sink.lost) == (0, 6)


def test_a_reader_that_left_ends_it_quietly(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    reader, writer = pipe
    sink = Writer(writer, line)
    reader.close()

    sink.write(EVENT)
    sink._thread.join(DEADLINE)

    assert sink.closed
    assert sink.error is None
    sink.write(EVENT)
    sink.close(DEADLINE)
    assert (sink.delivered, sink.lost) == (0, 2)


@pytest.mark.needs("full device")
def test_a_failing_output_is_told_with_its_reason() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        sink = Writer(full, line)
        sink.write(EVENT)
        sink.close(DEADLINE)

    assert sink.closed
    assert sink.error is not None
    assert sink.error.strerror == "No space left on device"
    assert sink.lost == 1


def test_a_non_blocking_pipe_gets_everything(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    reader, writer = pipe
    os.set_blocking(writer.fileno(), False)
    whole = b"x" * 1_000_000
    sink = Writer(writer, lambda _: whole)
    sink.write(EVENT)

    taken = bytearray()
    while len(taken) < len(whole):
        taken += reader.read(65536)
    sink.close(DEADLINE)

    assert taken == whole
    assert (sink.delivered, sink.lost) == (1, 0)


def test_an_event_that_cannot_be_shown_is_counted_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_: Event) -> bytes:
        raise ValueError("no")

    sink = Writer(io.BytesIO(), broken)
    sink.write(EVENT)
    sink.write(EVENT)
    sink.close(DEADLINE)

    assert (sink.delivered, sink.lost) == (0, 2)
    assert len(caplog.records) == 1
