"""JSON-RPC 2.0 messages, which MCP and A2A are made of.

Strategy: read the body as far as it goes, then decide by the members that are there. A cut
message counts as soon as its kind is certain; what was cut off is told by `truncated`.

Several messages may follow one another, each on a line of its own: so MCP has it over pipes
(https://modelcontextprotocol.io/specification, "stdio": "Messages are delimited by newlines, and
MUST NOT contain embedded newlines").

Left out: JSON-RPC 1.0, and which method belongs to which protocol (the classifier knows).

Reference: https://www.jsonrpc.org/specification (quoted below)
"""

from __future__ import annotations

from typing import Literal

import msgspec

from busted.protocols import partial_json

Kind = Literal["request", "notification", "response", "error"]


class JsonRpc(msgspec.Struct, frozen=True):
    """One message. A numeric `id` is given as its decimal text; an absent or null one is None."""

    kind: Kind
    id: str | None = None
    method: str | None = None
    params: object = None
    result: object = None
    error: object = None
    truncated: bool = False


def read(data: bytes, *, cut: bool = False) -> tuple[JsonRpc, ...]:
    """Return the messages in `data`: one, a batch, or lines of them; () when it is no JSON-RPC.

    Say `cut` if it is one whose end is missing: many say at their end only that they are JSON-RPC.
    """
    if cut:
        return _value(data, cut=True)
    first, _, rest = data.lstrip().partition(b"\n")
    # Only a value that ends with its line can be followed by another one.
    if rest and first.rstrip().endswith((b"}", b"]")) and rest.lstrip()[:1] in (b"{", b"["):
        return tuple(message for line in data.splitlines() for message in _value(line))
    return _value(data)


def _value(data: bytes, *, cut: bool = False) -> tuple[JsonRpc, ...]:
    """Return the message, or the messages of a batch, that one value is."""
    parsed = partial_json.parse(data, cut=cut)
    batch = parsed.value if isinstance(parsed.value, list) else [parsed.value]
    # Only the last message can be the one that was cut.
    last = len(batch) - 1
    messages = (
        _message(value, truncated=parsed.truncated and place == last, cut=cut and place == last)
        for place, value in enumerate(batch)
    )
    return tuple(message for message in messages if message is not None)


def _message(value: object, truncated: bool, cut: bool) -> JsonRpc | None:
    # "jsonrpc: A String specifying the version of the JSON-RPC protocol. MUST be exactly "2.0"."
    if not isinstance(value, dict) or value.get("jsonrpc", "2.0" if cut else None) != "2.0":
        return None
    id_text = _id_text(value.get("id"))
    method = value.get("method")
    if isinstance(method, str):
        # "A Notification is a Request object without an "id" member." Where the end is missing,
        # the id may be part of what is missing, but most often it is written first.
        kind: Kind = "request" if "id" in value else "notification"
        return JsonRpc(kind, id_text, method, params=value.get("params"), truncated=truncated)
    # "Either the result member or error member MUST be included, but both members MUST NOT be
    # included." JSON-RPC 1.0 habits add a null error to a result.
    if value.get("error") is not None:
        return JsonRpc("error", id_text, error=value["error"], truncated=truncated)
    if "result" in value:
        return JsonRpc("response", id_text, result=value["result"], truncated=truncated)
    return None


def _id_text(value: object) -> str | None:
    # "An identifier established by the Client that MUST contain a String, Number, or NULL value"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None
