"""Recordings made by hand: one exchange with a model, over one connection."""

import json
from pathlib import Path

from busted.agent.clock import Clock
from busted.agent.config import Selection
from busted.agent.pipeline import Origin
from busted.agent.recording import Frame, Header, LibraryFacts, RawRecord, RecordingWriter, Tick
from busted.enrich.processes import ProcessFacts
from busted.events import Coverage, Event, Library, Process
from busted.records import (
    PROCESS_EXIT,
    TLS_CLOSE,
    TLS_DATA,
    TLS_NAME,
    TLS_OPEN,
    VERSION,
    Direction,
    Type,
)

PID, START_NS, CONNECTION, SINCE_NS = 4242, 9_000_000_000, 0x5555_0000, 20_000_000_000
ORIGIN = Origin("host", Clock(1_763_820_000_000_000_000, 1_763_820_000_000_000_000), b"seed")
LIBRARY = Library(path="/usr/lib/libssl.so.3", kind="openssl", processes=2)
_KEY = (CONNECTION, SINCE_NS)


def opened(time_ns: int = SINCE_NS, comm: bytes = b"python3") -> RawRecord:
    head = (Type.TLS_OPEN, VERSION, PID, time_ns, START_NS, *_KEY)
    return RawRecord(TLS_OPEN.pack(*head, 77, 1, PID, 1, 1000, 1000, comm))


def named(name: bytes, time_ns: int = SINCE_NS) -> RawRecord:
    return RawRecord(TLS_NAME.pack(Type.TLS_NAME, VERSION, PID, time_ns, START_NS, *_KEY, name))


def data(direction: Direction, piece: bytes, time_ns: int, position: int = 0) -> RawRecord:
    head = (Type.TLS_DATA, VERSION, PID, time_ns, START_NS, *_KEY)
    size = len(piece)
    call = (position, size, 0, PID, size, direction, False)
    return RawRecord(TLS_DATA.pack(*head, *call) + piece)


def closed(time_ns: int) -> RawRecord:
    return RawRecord(TLS_CLOSE.pack(Type.TLS_CLOSE, VERSION, PID, time_ns, START_NS, *_KEY))


def exited(time_ns: int) -> RawRecord:
    return RawRecord(PROCESS_EXIT.pack(Type.PROCESS_EXIT, VERSION, PID, time_ns, START_NS))


def coverage() -> Event:
    return Event(
        schema=1,
        id="01KAP1W0000000000000000000",
        time="2025-11-22T14:00:00.000000000Z",
        host="host",
        process=Process(pid=1, name="busted"),
        action=Coverage(libraries=(LIBRARY,)),
    )


def request(said: str) -> bytes:
    """Return the bytes of an OpenAI chat request."""
    body = json.dumps(
        {"model": "gpt-4o", "messages": [{"role": "user", "content": said}]}, ensure_ascii=False
    ).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n"
        b"Content-Type: application/json\r\nUser-Agent: OpenAI/Python 1.52.0\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )


def response(said: str) -> bytes:
    """Return the bytes of the answer to it."""
    body = json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": "gpt-4o-2024-08-06",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": said},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 18, "completion_tokens": 7, "total_tokens": 25},
        },
        ensure_ascii=False,
    ).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


def exchange(
    prompt: str, answer: str, argv: tuple[str, ...] = ("python3", "agent.py")
) -> list[Frame]:
    """Return the frames of one exchange, as the monitor records them."""
    start_time = ORIGIN.clock.start_time(START_NS)
    second = 1_000_000_000
    return [
        LibraryFacts(1, LIBRARY),
        coverage(),
        opened(),
        ProcessFacts(PID, start_time, exe="/usr/bin/python3", argv=argv),
        named(b"api.openai.com"),
        data(Direction.WRITE, request(prompt), SINCE_NS + second),
        data(Direction.READ, response(answer), SINCE_NS + 2 * second),
        Tick(SINCE_NS + 3 * second),
        closed(SINCE_NS + 4 * second),
        Tick(SINCE_NS + 5 * second, last=True),
    ]


def record(path: Path, frames: list[Frame], selection: Selection = Selection()) -> Path:  # noqa: B008
    """Write a recording and return its path."""
    writer = RecordingWriter(path, Header(origin=ORIGIN, selection=selection))
    for frame in frames:
        if isinstance(frame, RawRecord):
            writer.record(frame.raw)
        else:
            writer.add(frame)
    writer.close()
    return path
