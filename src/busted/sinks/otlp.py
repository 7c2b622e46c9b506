"""Events to an OpenTelemetry collector, over OTLP/HTTP: logs, and a span for each model's answer.

Every event is a log record, whose body is the event's JSON and whose attributes are named after the
conventions for generative AI (`semantic_conventions`). A `Response` also is a span, from the end
of its request to its own end; request, answer and tool calls of an exchange share its trace and
span. Ids of both are made of the event's, so that what is offered twice can be told.

JSON by default; `encoding=protobuf` for collectors that take nothing else.

Left out: OTLP over gRPC, and the SDK: it has queues of its own, which lose without counting.

Reference: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from busted import __version__
from busted.sinks import semantic_conventions as names
from busted.sinks.channel import Item, Sent, Unavailable
from busted.sinks.heads import Head, head, nanoseconds
from busted.sinks.http import HttpPeer, HttpSettings, json_answer

# https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber
_SEVERITIES = {"info": (9, "INFO"), "warning": (13, "WARN"), "error": (17, "ERROR")}
_SPAN_KIND_CLIENT, _STATUS_ERROR = 3, 2
Signal = Literal["logs", "traces"]


class OtlpSettings(HttpSettings, frozen=True, kw_only=True):
    """Settings of a collector; `signals` says what is sent."""

    encoding: Literal["json", "protobuf"] = "json"
    signals: Literal["logs", "traces", "both"] = "both"


class OtlpChannel:
    """Exports to one collector."""

    def __init__(self, target: str, settings: OtlpSettings) -> None:
        """`target` is its URL, without /v1/logs. Raises WrongOutput, and ImportError."""
        self._peer = HttpPeer(target.rstrip("/"), settings)
        self._signals = settings.signals
        self._protobuf = None
        if settings.encoding == "protobuf":
            from busted.sinks import otlp_protobuf

            self._protobuf = otlp_protobuf

    async def send(self, batch: Sequence[Item]) -> Sent:
        """Export a batch."""
        refused = 0
        if self._signals != "traces":
            refused += await self._export("logs", logs(batch))
        if self._signals != "logs" and (spans := traces(batch)):
            refused += await self._export("traces", spans)
        return Sent(refused=min(refused, len(batch)), why="the collector rejected them")

    async def close(self) -> None:
        """Close the connections."""
        await self._peer.close()

    async def _export(self, signal: Signal, request: dict[str, Any]) -> int:
        """Export and return how many the collector rejected (Partial Success)."""
        url = f"{self._peer.url}/v1/{signal}"
        if self._protobuf:
            headers = {"Content-Type": "application/x-protobuf"}
            body = self._protobuf.encode(signal, request)
            count: int = self._protobuf.rejected(signal, await self._peer.post(url, body, headers))
            return count
        headers = {"Content-Type": "application/json"}
        answer = await self._peer.post(url, msgspec.json.encode(request), headers)
        return rejected(answer)


def logs(batch: Sequence[Item]) -> dict[str, Any]:
    """Return an ExportLogsServiceRequest in OTLP's JSON."""
    records = [_record(item) for item in batch]
    return {"resourceLogs": [{**_resource(batch), "scopeLogs": [_scoped("logRecords", records)]}]}


def traces(batch: Sequence[Item]) -> dict[str, Any] | None:
    """Return an ExportTraceServiceRequest in OTLP's JSON, None where there is no answer."""
    spans = [span for item in batch for span in _spans(item)]
    if not spans:
        return None
    return {"resourceSpans": [{**_resource(batch), "scopeSpans": [_scoped("spans", spans)]}]}


def rejected(answer: bytes) -> int:
    """Return how many records an answer says were rejected. Raises Unavailable."""
    told = json_answer(answer) if answer else {}
    if not isinstance(told, dict):
        raise Unavailable("the answer is none of a collector")
    partial = told.get("partialSuccess") or {}
    try:
        counts = (partial.get("rejectedLogRecords", 0), partial.get("rejectedSpans", 0))
        # 64-bit numbers are strings in JSON of protobuf.
        return sum(max(0, int(count)) for count in counts)
    except (AttributeError, TypeError, ValueError) as error:
        raise Unavailable("the answer is none of a collector") from error


def _resource(batch: Sequence[Item]) -> dict[str, Any]:
    attributes = {
        "service.name": "busted",
        "service.version": __version__,
        "host.name": head(batch[0]).host,
    }
    return {"resource": {"attributes": _attributes(attributes)}}


def _scoped(name: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    conventions = {"busted.semantic_conventions": names.VERSION}
    scope = {"name": "busted", "version": __version__, "attributes": _attributes(conventions)}
    return {"scope": scope, name: entries}


def _record(item: Item) -> dict[str, Any]:
    told, event = head(item), msgspec.json.decode(item.event)
    number, text = _SEVERITIES[told.gravity]
    record = {
        "timeUnixNano": str(nanoseconds(told.time)),
        "observedTimeUnixNano": str(int(item.queued_at * 1e9)),
        "severityNumber": number,
        "severityText": text,
        "eventName": f"busted.{told.action.type}",
        "body": {"stringValue": item.event.decode()},
        "attributes": _attributes(_named(event, told)),
    }
    if event.get("exchange_id"):
        record |= _ids(event["exchange_id"])
    return record


def _spans(item: Item) -> Iterator[dict[str, Any]]:
    told = head(item)
    if told.action.type != "Response":
        return
    event = msgspec.json.decode(item.event)
    action = event["action"]
    attributes = _named(event, told)
    operation = names.OPERATIONS.get(action["api"], "chat")
    attributes["gen_ai.operation.name"] = operation
    end = nanoseconds(told.time)
    span = {
        **_ids(event.get("exchange_id") or item.id),
        # The name that the conventions ask for: operation and model.
        "name": f"{operation} {action.get('model') or ''}".rstrip(),
        "kind": _SPAN_KIND_CLIENT,
        "startTimeUnixNano": str(end - int((action.get("latency") or 0) * 1e9)),
        "endTimeUnixNano": str(end),
    }
    if action["status"] >= 400 or action.get("error"):
        attributes["error.type"] = str(action["status"])
        span["status"] = {"code": _STATUS_ERROR}
    yield {**span, "attributes": _attributes(attributes)}


def _ids(exchange: str) -> dict[str, str]:
    digest = hashlib.sha256(exchange.encode()).hexdigest()
    return {"traceId": digest[:32], "spanId": digest[32:48]}


def _named(event: dict[str, Any], told: Head) -> dict[str, Any]:
    found = {}
    for name, steps in _paths(told.action.type):
        value: Any = event
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        if value is None:
            continue
        if name in names.LISTS:
            value = [value]
        found[name] = str(value) if name in names.TEXTS else value
    return found


@functools.lru_cache
def _paths(type: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the attributes of a type of event, each with where its value is."""
    paths = {**names.COMMON, **names.BY_ACTION.get(type, {})}
    return tuple((name, tuple(path.split("."))) for name, path in paths.items())


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Any) -> dict[str, Any]:
    match value:
        case str():  # nearly all are
            return {"stringValue": value}
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": str(value)}
