"""Against a receiver of ours that decodes what it gets with OpenTelemetry's published messages.

No collector could be had here; `opentelemetry-proto` is what collectors are generated from, too.
"""

import asyncio
import base64
from typing import Any

import msgspec
import pytest
from aiohttp import web
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from busted.classifier.dialects import DIALECTS
from busted.events import Event, to_json
from busted.sinks.channel import Item, Sent, Unavailable
from busted.sinks.heads import nanoseconds
from busted.sinks.otlp import OtlpChannel, OtlpSettings, rejected
from busted.sinks.semantic_conventions import OPERATIONS
from tests.unit.sinks.peers import http_server
from tests.unit.sinks.samples import PII, PROMPT, RESPONSE, event

REQUESTS: dict[str, type[Message]] = {
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/traces": ExportTraceServiceRequest,
}
ANSWERS: dict[str, type[Message]] = {
    "/v1/logs": ExportLogsServiceResponse,
    "/v1/traces": ExportTraceServiceResponse,
}
WHOLE = [
    msgspec.structs.replace(event(action), exchange_id="exchange", session_id="session")
    for action in (PROMPT, RESPONSE)
] + [event(PII)]


def ids_in_base64(value: Any) -> Any:
    """OTLP's JSON has ids in hexadecimal digits, where protobuf's has base64."""
    if isinstance(value, list):
        return [ids_in_base64(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: base64.b64encode(bytes.fromhex(one)).decode()
        if name in ("traceId", "spanId")
        else ids_in_base64(one)
        for name, one in value.items()
    }


class Receiver:
    def __init__(self) -> None:
        self.requests: dict[str, Any] = {}

    def __call__(self, request: web.Request, body: bytes) -> web.Response:
        message = REQUESTS[request.path]()
        self.requests[request.path] = message
        if request.content_type == "application/json":
            # Unknown fields are errors.
            ParseDict(ids_in_base64(msgspec.json.decode(body)), message)
            return web.json_response({"partialSuccess": {}})
        assert request.content_type == "application/x-protobuf"
        message.ParseFromString(body)
        return web.Response(body=ANSWERS[request.path]().SerializeToString())


def export(settings: OtlpSettings, events: list[Event] = WHOLE) -> tuple[dict[str, Any], Sent]:
    receiver = Receiver()

    async def run() -> Sent:
        async with http_server(receiver) as server:
            channel = OtlpChannel(server.url, settings)
            sent = await channel.send([Item(e.id, 1.7e9, to_json(e)) for e in events])
            await channel.close()
            return sent

    sent = asyncio.run(run())
    return receiver.requests, sent


def attributes(owner: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in owner.attributes}


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
def test_every_event_is_a_log_record_with_the_conventions_names(encoding: str) -> None:
    requests, sent = export(OtlpSettings(encoding=encoding))  # type: ignore[arg-type]
    (resource,) = requests["/v1/logs"].resource_logs
    (scope,) = resource.scope_logs
    prompt, response, pii = scope.log_records

    assert sent.refused == 0
    assert attributes(resource.resource)["service.name"] == "busted"
    assert attributes(resource.resource)["host.name"] == WHOLE[0].host
    assert prompt.time_unix_nano == nanoseconds(WHOLE[0].time)
    assert prompt.observed_time_unix_nano == 17 * 10**17
    assert prompt.event_name == "busted.Prompt"
    assert prompt.body.string_value.encode() == to_json(WHOLE[0])
    told = attributes(prompt)
    assert told["gen_ai.provider.name"] == "openai"
    assert told["gen_ai.request.model"] == "gpt-4o"
    assert told["gen_ai.request.temperature"] == 0.2
    assert told["gen_ai.conversation.id"] == "session"
    assert told["busted.event.id"] == WHOLE[0].id
    assert attributes(response)["gen_ai.usage.input_tokens"] == 18
    assert (prompt.severity_text, pii.severity_text) == ("INFO", "WARN")
    assert prompt.trace_id == response.trace_id != b""
    assert pii.trace_id == b""


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
def test_an_answer_is_a_span_as_long_as_it_took(encoding: str) -> None:
    requests, _ = export(OtlpSettings(encoding=encoding))  # type: ignore[arg-type]
    (span,) = requests["/v1/traces"].resource_spans[0].scope_spans[0].spans
    record = requests["/v1/logs"].resource_logs[0].scope_logs[0].log_records[1]

    assert span.name == "chat gpt-4o"
    assert (len(span.trace_id), len(span.span_id)) == (16, 8)
    assert (span.trace_id, span.span_id) == (record.trace_id, record.span_id)
    assert span.end_time_unix_nano == nanoseconds(WHOLE[1].time)
    assert span.end_time_unix_nano - span.start_time_unix_nano == 1_360_000_000
    assert attributes(span)["gen_ai.operation.name"] == "chat"
    assert attributes(span)["gen_ai.usage.output_tokens"] == 7


def test_an_answer_that_failed_is_a_failed_span() -> None:
    failed = event(msgspec.structs.replace(RESPONSE, status=529, error="overloaded"))
    requests, _ = export(OtlpSettings(), [failed])
    (span,) = requests["/v1/traces"].resource_spans[0].scope_spans[0].spans

    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert attributes(span)["error.type"] == "529"


def test_only_the_signals_asked_for_are_sent() -> None:
    assert export(OtlpSettings(signals="logs"))[0].keys() == {"/v1/logs"}
    assert export(OtlpSettings(signals="traces"))[0].keys() == {"/v1/traces"}
    assert export(OtlpSettings(), [event(PII)])[0].keys() == {"/v1/logs"}


def test_what_a_collector_rejects_is_counted() -> None:
    assert rejected(b'{"partialSuccess": {"rejectedLogRecords": "3", "errorMessage": "no"}}') == 3
    assert rejected(b'{"partialSuccess": {"rejectedSpans": 2}}') == 2
    assert rejected(b"") == rejected(b"{}") == 0


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"partialSuccess": 3}'])
def test_an_answer_of_something_else_takes_nothing(answer: bytes) -> None:
    with pytest.raises(Unavailable):
        rejected(answer)


def test_operations_are_those_of_the_dialects() -> None:
    told = {row.api: row.operation for row in DIALECTS if row.operation not in ("", "chat")}
    assert told == OPERATIONS
