"""What of an event may leave the process: the operator's content level, applied.

`events.CONTENT_FIELDS` names the fields that carry what people said. At `none` they are set to
their defaults, so they are absent from the JSON; at `redacted` secrets and personal data in them
are replaced by typed tokens such as `<email:3f9a>`; at `full` an event passes unchanged.

Below `full` every other string is redacted too, keys of mappings included: a key can be typed
into a command line, a path, a model's name. Only what we made ourselves (`OURS`) is left alone.

JSON text (tool arguments, MCP parameters) hides values behind escapes: in `{"a":"\\nsk-..."}`
the key follows the letter n. So what stands between quotes is decoded, redacted, encoded again.

Left out: `Finding.start` and `.end`. They stay, and at every level they count in the text as it
crossed the connection, not in what the event still shows of it.
"""

from __future__ import annotations

import functools
import json
import re
from operator import is_
from typing import Any, Literal, TypeVar, cast

import msgspec

from busted.classifier.options import DEFAULT_SCANNER
from busted.classifier.pii import Scanner
from busted.events import (
    CONTENT_FIELDS,
    Connection,
    Credential,
    Event,
    Finding,
    Identity,
    Peer,
    PolicyDecision,
    Process,
    Value,
)

Level = Literal["none", "redacted", "full"]
T = TypeVar("T", bound=msgspec.Struct)

# Identifiers and times that are made on this host: they hold no foreign text, and a redacted
# identifier would tie nothing together.
OURS: dict[type[Value], tuple[str, ...]] = {
    Event: ("id", "time", "host", "exchange_id"),
    Identity: ("id", "instance"),
    Process: ("build_id", "start_time", "cgroup_id", "container_id", "container_runtime"),
    Peer: ("start_time",),
    Connection: ("id", "socket", "src_ip", "dst_ip"),
    Credential: ("hash",),
    Finding: ("sample", "hash"),
    PolicyDecision: ("id",),
}

# Tool results carry JSON in JSON in JSON; no real client was seen to go deeper than three.
MAX_ESCAPE_DEPTH = 8

# Text between quotes that are not escaped: in JSON the inside of a string (RFC 8259 section 7), or
# what stands between strings, which has no escapes. Not looking for pairs of quotes makes it
# work in prose and in JSON that was cut, too.
_RUN = re.compile(r'(?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})++')


@functools.cache
def _fields(kind: type[Value]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the fields of a type that may hold foreign text, and those that are content."""
    ours = OURS.get(kind, ())
    foreign = (
        field.name
        for field in msgspec.structs.fields(kind)
        if field.name not in ours and field.type not in (int, float, bool)
    )
    return tuple(foreign), frozenset(CONTENT_FIELDS.get(kind, ()))


class ContentFilter:
    """Gives an event as it may leave the process; call it last, right before the sinks.

    `key` is random and of one run, so that a token cannot be looked up in a table of hashes.
    """

    def __init__(self, level: Level, key: bytes, scanner: Scanner = DEFAULT_SCANNER) -> None:
        """`key` should be at least 16 bytes of os.urandom; `scanner` says what is redacted."""
        self.level = level
        self._key, self._scanner = key, scanner

    def __call__(self, struct: T) -> T:
        """Return an event, or any other struct that holds actions, at this filter's level."""
        if self.level == "full":
            return struct
        return self._struct(struct, cut=False)

    def text(self, text: str) -> str:
        """Return a text that is no event's, such as a line of a log; it is kept at `none` too."""
        return text if self.level == "full" else self._text(text, cut=False)

    # What needs no change is not made again: nearly all of an event.

    def _value(self, value: Any, cut: bool) -> Any:
        if isinstance(value, str):
            return self._text(value, cut)
        if isinstance(value, msgspec.Struct):
            return self._struct(value, cut)
        if isinstance(value, tuple):
            items = tuple([self._value(item, cut) for item in value])
            return value if all(map(is_, items, value)) else items
        if isinstance(value, dict):
            named = {self._value(name, cut): self._value(item, cut) for name, item in value.items()}
            return value if named == value else named
        return value  # numbers, flags

    def _struct(self, struct: T, cut: bool) -> T:
        kind = cast(type[Value], type(struct))
        foreign, content = _fields(kind)
        left_out = content if self.level == "none" else frozenset[str]()
        # Texts end where they do, but those of a truncated action may end within a secret.
        cut = cut or getattr(struct, "truncated", False)
        changed: dict[str, Any] = {}
        for name in foreign:
            value = getattr(struct, name)
            if value is None or name in left_out:
                continue
            allowed = self._value(value, cut and name in content)
            if allowed is not value:
                changed[name] = allowed
        if left_out:
            kept = (name for name in struct.__struct_fields__ if name not in left_out)
            return type(struct)(**{name: getattr(struct, name) for name in kept} | changed)
        return msgspec.structs.replace(struct, **changed) if changed else struct

    def _text(self, text: str, cut: bool, depth: int = 0) -> str:
        if "\\" in text and depth < MAX_ESCAPE_DEPTH:
            text = _RUN.sub(lambda run: self._run(run, cut, depth), text)
        return self._scanner.redact(text, self._key, cut)

    def _run(self, match: re.Match[str], cut: bool, depth: int) -> str:
        run = match[0]
        if "\\" not in run:
            return run
        plain: str = json.loads(f'"{run}"', strict=False)
        redacted = self._text(plain, cut and match.end() == len(match.string), depth + 1)
        if redacted == plain:
            return run
        # An escape may stand for half a surrogate pair, which only an escape can express.
        return (
            json.dumps(redacted, ensure_ascii=False)[1:-1]
            .encode(errors="backslashreplace")
            .decode()
        )
