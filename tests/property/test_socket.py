"""Whatever is said on the monitor's socket, it answers or lets go, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busted.agent import socket_client
from tests.unit.agent.test_socket_server import Served, serve

WORDS = ("events", "status", "identities", "last", "filter", "content", "text", "limit", "identity")
nearly_requests = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3)
    ),
    max_leaves=8,
)

# One for events would be answered without end.
ends = nearly_requests.filter(lambda told: not (isinstance(told, dict) and "events" in told))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory: Path = tmp_path_factory.mktemp("socket")
    with serve(directory) as served:
        yield served


# Each example is a connection, so there are fewer than of what is pure.
@settings(max_examples=60)
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_answered_with_lines_of_json(served: Served, raw: bytes) -> None:
    for line in served.said(raw + b"\n"):
        assert isinstance(line, dict)
    assert socket_client.status(served.path) == b'{"version":"1"}'


@settings(max_examples=60)
@given(request=ends)
def test_anything_like_a_request_is_answered_with_lines_of_json(
    served: Served, request: object
) -> None:
    for line in served.said(msgspec.json.encode(request) + b"\n"):
        assert isinstance(line, dict)
    assert socket_client.status(served.path) == b'{"version":"1"}'
