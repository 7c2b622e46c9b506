"""Finds agents that go round in circles: the same tool, the same arguments, again and again.

Strategy: of each call a hash of who called what is kept with the times of the last calls like it.
What a model asks for and what an MCP server is asked for are counted apart, since the one mostly
leads to the other. Arguments are compared as JSON where they are some, whatever their spelling.

Left out: calls of which a part is missing, which may differ there; circles of several calls are
found by each of their calls.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque

import msgspec

from busted.agent.clock import rfc3339
from busted.events import Event, LoopDetected, McpRequest, ToolCall

# An agent that polls looks a few times; a model that is stuck does nothing else.
LOOP_CALLS = 5
LOOP_SECONDS = 300.0
# One call is no repetition. Of more than a hundred each further one is told as the hundredth.
MIN_CALLS, MAX_CALLS = 2, 100
MAX_SECONDS = 86_400.0
# Different calls that are remembered, of all agents together: a few hundred an hour are usual.
MAX_REMEMBERED = 4096
_SECOND_NS = 1_000_000_000


class LoopTerms(msgspec.Struct, frozen=True):
    """What a loop is: so many calls within so many seconds."""

    calls: int = LOOP_CALLS
    seconds: float = LOOP_SECONDS


class Loops:
    """The calls of all agents; events go in, in order."""

    def __init__(
        self,
        terms: LoopTerms = LoopTerms(),  # noqa: B008  (frozen)
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        """Nothing was called yet."""
        self._terms, self._max_remembered = terms, max_remembered
        # What was called last stands last.
        self._calls: OrderedDict[bytes, deque[int]] = OrderedDict()

    def follow(self, event: Event, now_ns: int) -> LoopDetected | None:
        """Return what a call makes of those before it; `now_ns` counts since 1970."""
        action = event.action
        if isinstance(action, ToolCall) and not action.truncated:
            tool, arguments = action.name, _canonical(_decoded(action.arguments), action.arguments)
        elif isinstance(action, McpRequest) and action.tool and not action.truncated:
            # Beside them stands `_meta` with a token that differs each time:
            # https://modelcontextprotocol.io/specification/2025-06-18/basic/utilities/progress
            given = _decoded(action.params)
            asked = given.get("arguments") if isinstance(given, dict) else None
            tool, arguments = action.tool, _canonical(asked, None)
        else:
            return None
        where = type(action).__name__
        who = event.identity.id if event.identity else event.session_id or ""
        times = self._times(_hash(where, who, tool, arguments))
        times.append(now_ns)
        while now_ns - times[0] > self._terms.seconds * _SECOND_NS:
            times.popleft()
        if len(times) < self._terms.calls:
            return None
        return LoopDetected(
            tool=tool,
            where="ToolCall" if isinstance(action, ToolCall) else "McpRequest",
            count=len(times),
            since=rfc3339(times[0]),
        )

    def _times(self, call: bytes) -> deque[int]:
        times = self._calls.get(call)
        if times is None:
            times = self._calls[call] = deque(maxlen=MAX_CALLS)
            if len(self._calls) > self._max_remembered:
                self._calls.popitem(last=False)
        else:
            self._calls.move_to_end(call)
        return times


def _decoded(text: str | None) -> object:
    try:
        return msgspec.json.decode(text or "null")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _canonical(value: object, text: str | None) -> bytes:
    """Return a value in one spelling, and the text itself where it is none."""
    if value is None:
        return (text or "").encode("utf-8", "surrogatepass")
    try:
        return msgspec.json.encode(value, order="deterministic")
    except (UnicodeError, RecursionError):
        return (text or "").encode("utf-8", "surrogatepass")


def _hash(*parts: str | bytes) -> bytes:
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        # Its length first, so that what belongs to one part is never taken for the next.
        hashed.update(len(data).to_bytes(8, "little") + data)
    return hashed.digest()
