"""Arguments of MCP's tools that headers repeat, so that proxies can choose by them.

Strategy: a tool's schema says with `x-mcp-header` which arguments are repeated in `Mcp-Param-*`.
Where the schema was seen, each of them must be as in the body. Where it was not, a header whose
value no argument has tells proxies something that the server does not get.

Source: https://modelcontextprotocol.io/specification/2026-07-28, "Custom Headers from Tool
Parameters": servers "MUST validate" that header and argument agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from busted.classifier.chat import MAX_NAME_CHARS
from busted.classifier.foreign import items, mapping, string

PREFIX = "mcp-param-"
# Headers of one request, and annotated properties of one tool: proxies choose by one or two.
MAX_PARAMS = 64
# Objects within objects, of schemas and of arguments; deeper ones no tool was seen to have.
MAX_DEPTH = 8

_DECIMAL = re.compile(r"(-?[0-9]{1,32})(?:\.0{1,32})?")

Repeated = tuple[tuple[str, str], ...]
"""Headers as they were sent, names in lower case, values decoded."""


class Annotation(msgspec.Struct, frozen=True):
    """A property of a tool whose value the header `name` repeats; `path` leads to it."""

    name: str
    path: tuple[str, ...]


def annotated(schema: object) -> tuple[Annotation, ...]:
    """Return the annotated properties of a tool's schema."""
    found = []
    for path, place in _properties(schema, ()):
        if token := string(place.get("x-mcp-header"), MAX_NAME_CHARS):
            found.append(Annotation(PREFIX + token.lower(), path))
        if len(found) == MAX_PARAMS:
            break
    return tuple(found)


def _properties(
    schema: object, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, object]]]:
    if len(path) < MAX_DEPTH:
        for name, value in mapping(mapping(schema).get("properties")).items():
            inner = (*path, name[:MAX_NAME_CHARS])
            yield inner, mapping(value)
            yield from _properties(value, inner)


def contradictions(
    repeated: Repeated, arguments: object, known: Sequence[Annotation] | None, *, required: bool
) -> tuple[str, ...]:
    """Return the names of headers that contradict the arguments, or are missing if `required`.

    `known` are the annotations of the tool, None when its schema was not seen.
    """
    if known is None:
        values = {text for value in _scalars(arguments, MAX_DEPTH) for text in _spellings(value)}
        wrong = [name for name, told in repeated if _plain(told) not in values]
        return tuple(dict.fromkeys(wrong))
    told = dict(repeated)
    wrong = []
    for annotation in known:
        expected = _spellings(_at(arguments, annotation.path))
        given = told.get(annotation.name)
        # Twice and different: who reads the first sees another call than who reads the last.
        twice = len({value for name, value in repeated if name == annotation.name}) > 1
        if given is None and not (required and expected):
            continue
        if given is None or twice or _plain(given) not in expected:
            wrong.append(annotation.name)
    return tuple(wrong)


def _at(arguments: object, path: Sequence[str]) -> object:
    for key in path:
        arguments = mapping(arguments).get(key)
    return arguments


def _scalars(value: object, depth: int) -> Iterator[object]:
    inner: Sequence[object] = [*mapping(value).values(), *items(value)]
    if not isinstance(value, dict | list):
        yield value
    elif depth:
        for one in inner:
            yield from _scalars(one, depth - 1)


def _spellings(value: object) -> frozenset[str]:
    """Return how a header may spell a value; nothing for one that no header can hold."""
    if isinstance(value, bool):
        return frozenset(("true" if value else "false",))
    if isinstance(value, str):
        return frozenset((value, _plain(value)))
    if isinstance(value, int):
        # More digits than a header has room for make int() refuse them.
        return frozenset((str(value),)) if value.bit_length() < 1024 else frozenset()
    if isinstance(value, float):
        return frozenset((str(value), _plain(str(value))))
    return frozenset()


def _plain(text: str) -> str:
    """Return a whole number without the zeros behind its point: `42.0` is `42`."""
    match = _DECIMAL.fullmatch(text)
    return match[1] if match else text
