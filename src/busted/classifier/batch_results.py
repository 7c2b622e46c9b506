"""The results of a batch: a file of many answers, one a line, fetched when all are there.

Strategy: a line wraps the answer as it would have come by itself, with its status. Each is read as
such, by what it looks like, and told as a response of the one exchange that fetched the file.
Left out: lines of files that are no results; the requests, which were told when they were sent or
stand in a file that was.
Source: https://platform.openai.com/docs/api-reference/batch/request-output and
https://docs.anthropic.com/en/api/retrieving-message-batch-results
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from busted.classifier.answers import AnswerReader
from busted.classifier.collect import BodyStore
from busted.classifier.event_framing import JsonLines
from busted.classifier.foreign import integer, mapping
from busted.classifier.mcp_memory import Pending
from busted.classifier.options import Options
from busted.classifier.providers import Provider
from busted.events import Action, Response
from busted.protocols import partial_json
from busted.protocols.http import Headers, HttpResponse, header
from busted.protocols.sse import SseEvent

_JSON = (("content-type", "application/json"),)
# What stands for the status of a result that failed and has none.
_FAILED = 400


class BatchReader:
    """Feed it the body of a file; it returns the actions that are complete, as `AnswerReader`."""

    def __init__(
        self, head: HttpResponse, provider: Provider | None, *, pending: Pending, options: Options
    ) -> None:
        self.is_ai = False
        """Whether a result was found."""
        self._provider = provider
        self._pending = pending
        self._options = options
        self._body = BodyStore(header(head.headers, "content-encoding"), stream=True)
        self._lines = JsonLines()

    @property
    def kept(self) -> int:
        """How many bytes of the body it holds: a line at most, which is bounded by itself."""
        return self._body.kept

    def feed(self, data: bytes, time_ns: int) -> list[Action]:
        """Consume a piece of the body, seen at `time_ns`."""
        return self._told(self._lines.feed(self._body.feed(data)), time_ns)

    def gap(self, missing: int) -> None:
        """Tell that the next `missing` bytes of the body were never seen."""
        self._body.gap(missing)
        self._lines.gap(missing)

    def end(self, truncated: bool, time_ns: int, trailers: Headers = ()) -> list[Action]:
        """The body is over at `time_ns`: return what was not reported yet."""
        return self._told(self._lines.finish(), time_ns)

    def _told(self, lines: Iterable[SseEvent], time_ns: int) -> list[Action]:
        actions: list[Action] = []
        for line in lines:
            raw = line.data.encode("utf-8", "replace")
            parsed = partial_json.parse(raw)
            wrapped = _unwrapped(mapping(parsed.value))
            if wrapped is None:
                continue
            status, answer = wrapped
            reader = AnswerReader(
                HttpResponse(status, _JSON),
                None,
                self._provider,
                pending=self._pending,
                options=self._options,
            )
            cut = parsed.truncated or line.truncated
            told = reader.feed(_encoded(answer), time_ns) + reader.end(cut, time_ns)
            actions += (_of_line(action, len(raw), cut) for action in told)
        self.is_ai = self.is_ai or bool(actions)
        return actions


def _unwrapped(line: Mapping[str, object]) -> tuple[int, Mapping[str, object]] | None:
    """Return the status and the body of the answer that a line wraps."""
    if "custom_id" not in line:
        return None
    # OpenAI: {"custom_id", "response": {"status_code": 200, "body": {...}}, "error": null}
    response = mapping(line.get("response"))
    if body := mapping(response.get("body")):
        return integer(response.get("status_code")) or 0, body
    if mapping(line.get("error")):
        return _FAILED, {"error": line["error"]}
    # Anthropic: {"custom_id", "result": {"type": "succeeded", "message": {...}}}, or "errored"
    # and {"error": {"type": "error", "error": {...}}}
    result = mapping(line.get("result"))
    if message := mapping(result.get("message")):
        return 200, message
    if error := mapping(result.get("error")):
        return _FAILED, error
    return None


def _encoded(body: Mapping[str, object]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except (ValueError, TypeError, RecursionError):
        return b""  # lone surrogates or nesting without end


def _of_line(action: Action, size: int, cut: bool) -> Action:
    """Return a response with the size of its line; other actions as they are."""
    if isinstance(action, Response):
        # List prices are not those of batches.
        truncated = action.truncated or cut
        return msgspec.structs.replace(action, bytes=size, truncated=truncated, cost=None)
    return action
