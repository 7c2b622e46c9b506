import socket

import pytest

from busted.policy import messages
from busted.policy.messages import (
    Answer,
    Ask,
    Forked,
    Frames,
    GarbageError,
    Message,
    frame,
    receive,
)


def test_messages_come_out_as_they_went_in_however_they_are_cut() -> None:
    sent: list[Message] = [Ask((b"{}", b"\x00\xff"), 0.5), Answer("deny", ("why",)), Forked(1)]
    wire = b"".join(frame(message) for message in sent)
    for size in (1, 3, len(wire)):
        frames, received = Frames(), []
        for start in range(0, len(wire), size):
            frames.feed(wire[start : start + size])
            while message := frames.next():
                received.append(message)
        assert received == sent


@pytest.mark.parametrize(
    "garbage",
    [b"\xff\xff\xff\xff", b"\x01\0\0\0\xc1", frame(Forked(1)).replace(b"Forked", b"Forced")],
)
def test_garbage_is_told_as_such(garbage: bytes) -> None:
    frames = Frames()
    frames.feed(garbage)

    with pytest.raises(GarbageError):
        frames.next()


def test_a_frame_that_is_too_large_is_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_FRAME_BYTES", 5)
    frames = Frames()
    frames.feed(frame(Forked(1)))

    with pytest.raises(GarbageError, match="bytes"):
        frames.next()


def test_an_end_that_is_closed_says_nothing_more() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(frame(Forked(7)) + b"\x09\0")
        frames = Frames()
        assert receive(ours, frames) == Forked(7)
        assert receive(ours, frames) is None
