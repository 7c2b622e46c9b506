"""OTLP's JSON as protobuf, by the published messages; apart, since only some collectors need it."""

from __future__ import annotations

import base64
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from busted.sinks.channel import Unavailable


def encode(signal: str, request: dict[str, Any]) -> bytes:
    """Return a request, as `busted.sinks.otlp` makes it, in protobuf."""
    message: Message = (
        ExportLogsServiceRequest() if signal == "logs" else ExportTraceServiceRequest()
    )
    ParseDict(as_base64(request), message)
    return message.SerializeToString()


def rejected(signal: str, answer: bytes) -> int:
    """Return how many records an answer says were rejected. Raises Unavailable."""
    try:
        if signal == "logs":
            logs = ExportLogsServiceResponse.FromString(answer)
            return int(logs.partial_success.rejected_log_records)
        spans = ExportTraceServiceResponse.FromString(answer)
        return int(spans.partial_success.rejected_spans)
    except DecodeError as error:
        raise Unavailable("the answer is none of a collector") from error


def as_base64(value: Any) -> Any:
    """Return OTLP's JSON as protobuf's own JSON: ids in base64 in place of hexadecimal digits.

    https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
    """
    if isinstance(value, list):
        return [as_base64(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: base64.b64encode(bytes.fromhex(one)).decode()
        if name in ("traceId", "spanId")
        else as_base64(one)
        for name, one in value.items()
    }
