"""Makes a module mean in regorus what it means in OPA, by writing it otherwise.

Strategy: the text is edited at bytes that the syntax tree names, and never moves to another line.
Each edit is remembered, so that the place of an error is found in what its author wrote.

Two things need it. OPA takes the operands of a call out of a negation; and its regular expressions
are ASCII where those of regorus are Unicode.

Left out: statements with `with`, and patterns that are not written down where they are used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from busted.policy.patterns import as_re2
from busted.policy.syntax import COMPREHENSIONS, REFERENCES, Module, nodes, queries, reference

# Function: which of its arguments is a pattern.
_PATTERNS = {
    "regex.find_all_string_submatch_n": 0,
    "regex.find_n": 0,
    "regex.match": 0,
    "regex.replace": 1,
    "regex.split": 0,
}


class Edit(msgspec.Struct, frozen=True):
    """What stands in place of some bytes of a module's text, of none where it is added."""

    start: int
    end: int
    text: bytes


class Rewritten(msgspec.Struct, frozen=True):
    """A module's text as regorus gets it, and what was edited, in order."""

    text: str
    edits: tuple[Edit, ...] = ()

    def original(self, at: int) -> int:
        """Return which byte of the module's own text a byte of this one is."""
        shift = 0
        for edit in self.edits:
            start = edit.start + shift
            if at < start:
                break
            if at < start + len(edit.text):
                return min(edit.start + at - start, edit.end)
            shift += len(edit.text) - (edit.end - edit.start)
        return at - shift


def rewritten(
    module: Module, left_out: Collection[str] = (), ruled_out: Collection[int] = ()
) -> Rewritten:
    """Return the text to be evaluated; rules with these names or starts are blanked out."""
    edits: list[Edit] = []
    for rule in module.rules:
        if rule.name in left_out or rule.start in ruled_out:
            own = module.text[rule.start : rule.end]
            blank = bytes(b if b == 0x0A else 0x20 for b in own)
            edits.append(Edit(rule.start, rule.end, blank))
            continue
        edits += _patterns(module, rule.tree)
        for query, end in queries(rule):
            for statement in query["stmts"]:
                edits += _negation(module, statement, query["span"]["start"], end)
    edits.sort(key=lambda edit: edit.start)
    pieces: list[bytes] = []
    before = 0
    for edit in edits:
        pieces += [module.text[before : edit.start], edit.text]
        before = edit.end
    text = b"".join([*pieces, module.text[before:]]).decode()
    return Rewritten(text, tuple(edits))


def _patterns(module: Module, tree: Any) -> Iterator[Edit]:
    for kind, node in nodes(tree):
        if kind != "Call":
            continue
        number = _PATTERNS.get(".".join(part or "" for part in reference(node["fcn"])))
        if number is None or number >= len(node["params"]):
            continue
        ((shape, content),) = node["params"][number].items()
        if shape in ("String", "RawString"):
            start, end = content["span"]["start"], content["span"]["end"]
            source = module.text[start:end].decode()
            pattern = as_re2(source, raw=shape == "RawString")
            if pattern != source:
                yield Edit(start, end, pattern.encode())


def _negation(module: Module, statement: Any, query: int, end: int) -> Iterator[Edit]:
    """Yield what puts `_ = input.a; ` before `not startswith(input.a, "b")`.

    It is undefined in OPA where `input.a` is, and regorus says true. A body without braces, which
    begins where its one statement does, gets some.
    """
    words = _wanted(module, statement)
    at = statement["span"]["start"]
    if not words:
        return
    if query == at:
        yield Edit(at, at, b"{ " + words)
        # Before what comes next, so that no line moves and no comment swallows it.
        yield Edit(end, end, b"} " if end < len(module.text) else b"\n}")
    else:
        yield Edit(at, at, words)


def _wanted(module: Module, statement: Any) -> bytes:
    negated = statement["literal"].get("NotExpr")
    if not negated or statement.get("with_mods"):
        return b""
    spans = sorted(set(_operands(negated["expr"])))
    return b"".join(b"_ = " + module.text[a:b] + b"; " for a, b in spans)


def _operands(expression: Any) -> Iterator[tuple[int, int]]:
    """Yield the spans of the references and calls that OPA takes out of a negated expression."""
    kind = _kind(expression)
    if kind in REFERENCES:
        # A reference stays where it is, but not what stands in its brackets.
        yield from _in_brackets(expression)
        return
    parts = _inside(expression)
    if kind in ("BoolExpr", "AssignExpr") and expression[kind]["op"] in ("Eq", "ColEq"):
        # Equality is no call: a reference right beside it stays, too.
        for side in (p for p in parts if _kind(p) in REFERENCES):
            yield from _in_brackets(side)
        parts = [p for p in parts if _kind(p) not in REFERENCES]
    yield from _taken_out(parts)


def _taken_out(parts: list[Any]) -> Iterator[tuple[int, int]]:
    for part in parts:
        kind = _kind(part)
        if kind in REFERENCES or kind == "Call":
            span = part[kind]["span"]
            yield span["start"], span["end"]
        elif kind not in COMPREHENSIONS:
            yield from _taken_out(_inside(part))


def _in_brackets(reference: Any) -> Iterator[tuple[int, int]]:
    tree = reference
    while (kind := _kind(tree)) in ("RefDot", "RefBrack"):
        if kind == "RefBrack":
            yield from _taken_out([tree[kind]["index"]])
        tree = tree[kind]["refr"]


def _kind(expression: Any) -> str:
    ((kind, _),) = expression.items()
    return str(kind)


def _inside(expression: Any) -> list[Any]:
    """Return the expressions right inside an expression that is no reference."""
    ((kind, node),) = expression.items()
    if kind in REFERENCES:
        return []
    if kind == "Call":
        return list(node["params"])
    parts: list[Any] = []
    for value in node.values():
        parts += _expressions(value)
    return parts


def _expressions(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [e for item in value for e in _expressions(item)]
    if isinstance(value, dict) and len(value) == 1 and next(iter(value))[:1].isupper():
        return [value]
    return []
