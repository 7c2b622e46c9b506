"""What one connection tells does not depend on what others do meanwhile, nor on damage of theirs.

The bytes are those of real clients, of the recordings in tests/golden.
"""

from __future__ import annotations

import functools
import json
import tracemalloc
from collections.abc import Iterable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from busted import events
from busted.agent import recording
from busted.agent.pipeline import Pipeline
from busted.agent.recording import RawRecord
from busted.classifier.connection import ConnectionReader
from busted.classifier.direction import Direction
from busted.events import Event
from busted.records import Record, TlsData, TlsOpen, decode
from tests.golden.expected import HERE, RECORDINGS
from tests.recordings import ORIGIN

# One of each dialect and way to stream; MCP's servers are compared with what they said before.
NAMES = (
    *("openai_responses_stream", "openai_realtime", "openai_http2", "anthropic_tools_stream"),
    *("google_tools_stream", "bedrock_converse_stream", "bedrock_invoke_stream", "cohere_stream"),
    *("mistral_stream", "groq_stream", "ollama_stream"),
)
# The recordings bring up to some 40 KB, of which a reader may hold each byte a few times.
MAX_MEMORY_BYTES = 1 << 20


@functools.cache
def records(name: str) -> tuple[Record, ...]:
    """The records of a recording."""
    _, frames = recording.read(HERE / f"{name}.rec")
    return tuple(decode(frame.raw) for frame in frames if isinstance(frame, RawRecord))


def told(records: Iterable[Record]) -> dict[str, list[dict[str, Any]]]:
    """The events that records give, by their connection."""
    pipeline = Pipeline(ORIGIN, {})
    found: list[Event] = []
    for record in records:
        found += pipeline.feed(record)
    found += pipeline.close(0)
    assert pipeline.lost == {}
    by_connection: dict[str, list[dict[str, Any]]] = {}
    for event in found:
        assert event.connection is not None
        as_json = json.loads(events.to_json(event))
        # Who speaks is concluded from all connections together, and so is no one's alone; what an
        # agent has spent so far is what it spent on all of them.
        as_json.pop("identity", None)
        as_json.pop("budget", None)
        by_connection.setdefault(event.connection.id, []).append(as_json)
    return by_connection


alone = functools.cache(lambda name: told(records(name)))


def test_the_recordings_to_interleave_are_there() -> None:
    assert {path.stem for path in RECORDINGS} >= set(NAMES)
    assert all(alone(name) for name in NAMES)


@given(st.lists(st.sampled_from(NAMES), min_size=2, max_size=4, unique=True), st.randoms())
def test_any_interleaving_of_connections_gives_the_events_of_each(
    names: list[str], chance: Any
) -> None:
    order = [name for name in names for _ in records(name)]
    chance.shuffle(order)
    sources = {name: iter(records(name)) for name in names}

    found = told(next(sources[name]) for name in order)

    assert found == {key: value for name in names for key, value in alone(name).items()}


@given(st.sampled_from(NAMES), st.data())
def test_damaged_bytes_of_real_clients_never_raise_and_take_bounded_memory(
    name: str, choice: st.DataObject
) -> None:
    """Bytes are changed, cut away or put in anywhere in any record."""
    pieces = [r for r in records(name) if isinstance(r, TlsData)]
    changes = choice.draw(
        st.dictionaries(
            st.integers(0, len(pieces) - 1),
            st.tuples(st.integers(0, 16_384), st.integers(0, 40), st.binary(max_size=40)),
            max_size=8,
        )
    )
    opened = next(r for r in records(name) if isinstance(r, TlsOpen))
    assert opened.key == pieces[0].key
    sni = choice.draw(st.sampled_from([None, "api.openai.com", "bedrock-runtime.a.amazonaws.com"]))

    tracemalloc.start()
    try:
        reader = ConnectionReader(sni)
        seen = []
        for place, record in enumerate(pieces):
            data = record.data
            if place in changes:
                start, gone, new = changes[place]
                start = min(start, len(data))
                data = data[:start] + new + data[start + gone :]
            direction = Direction.WRITE if record.direction.name == "WRITE" else Direction.READ
            seen += reader.feed(direction, data, record.time_ns)
        seen += reader.close(0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < MAX_MEMORY_BYTES
    msgspec.json.encode([observed.action for observed in seen])
