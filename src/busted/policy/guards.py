"""Which rules can say nothing of an event, known before anything is evaluated.

Strategy: most rules begin by asking what the event is: `input.action.type == "Prompt"`. Where that
is not so, nothing behind it is evaluated, and the rule says nothing: without it, the policy says
the same. So rules are indexed by such guards, and a policy without those that an event rules out
is evaluated in place of the whole (compiled.py). What is proven here is no more than that:

- a guard compares one place of the input with a text, by `==`, and stands before all else;
- its rule is no function and no default, has one body, and one name without variables;
- nowhere in the policy is there a `with`, which would put another input in place of the event.

Of the rules of one name in a module the first always stays, so that the name means what it did.

Left out: guards that need another rule's value, and other comparisons.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import and_
from typing import Any, TypeAlias

import msgspec

from busted.policy.syntax import Module, Rule, queries, reference, text_of

# Where in the input, and which text has to be there.
Guard: TypeAlias = tuple[tuple[str, ...], str]
_INPUT = "input"


class Guarded(msgspec.Struct, frozen=True):
    """A rule, by its module and the byte where it begins, that is ruled out where a guard fails."""

    module: str
    start: int
    guards: tuple[Guard, ...]


def guarded(modules: Sequence[Module]) -> tuple[Guarded, ...]:
    """Return the rules that an event may rule out; none where that cannot be proven."""
    if any(_replaces(rule) for m in modules for rule in m.rules):
        return ()
    return tuple(rule for m in modules if _INPUT not in m.imports for rule in _of_module(m))


class Index:
    """Says of an event which rules it leaves, as bits in the order of the rules."""

    def __init__(self, rules: Sequence[Guarded]) -> None:
        """Prepare; `rules` as from `guarded`."""
        self._all = (1 << len(rules)) - 1
        paths = _apart({path for rule in rules for path, _ in rule.guards})
        self._at = [_Place(path, rules) for path in paths]
        self._decoder = msgspec.json.Decoder(_shape(paths)) if paths else None

    def left(self, event: bytes) -> int:
        """Return which rules may say something of an event; of what is no such JSON, all."""
        if self._decoder is None:
            return self._all
        try:
            value = self._decoder.decode(event)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return self._all
        return reduce(and_, (place.left(value) for place in self._at), self._all)


class _Place:
    """The guards that look at one place of the input."""

    def __init__(self, path: tuple[str, ...], rules: Sequence[Guarded]) -> None:
        self._fields = tuple(map(_field, path))
        self._others = 0
        wanted: defaultdict[str, int] = defaultdict(int)
        for number, rule in enumerate(rules):
            texts = {text for at, text in rule.guards if at == path}
            if not texts:
                self._others |= 1 << number
            elif len(texts) == 1:  # what shall be two texts at once is neither
                wanted[texts.pop()] |= 1 << number
        self._by_text = {text: bits | self._others for text, bits in wanted.items()}

    def left(self, value: Any) -> int:
        for field in self._fields:
            value = getattr(value, field, None)
        return self._by_text.get(value, self._others) if isinstance(value, str) else self._others


def _of_module(module: Module) -> Iterator[Guarded]:
    named = set()
    for rule in module.rules:
        if rule.is_default or None in rule.path:
            continue
        if rule.path in named and (guards := tuple(_guards(rule))):
            yield Guarded(module.name, rule.start, guards)
        named.add(rule.path)


def _guards(rule: Rule) -> Iterator[Guard]:
    """Yield the guards that a rule begins with; none if it may say something without its body."""
    bodies = rule.tree["Spec"]["bodies"]
    if rule.arguments is not None or len(bodies) != 1:
        return
    for statement in bodies[0]["query"]["stmts"]:
        guard = _guard(statement["literal"])
        if guard is None:
            return
        yield guard


def _guard(literal: Any) -> Guard | None:
    compared = literal.get("Expr", {}).get("expr", {}).get("BoolExpr")
    if compared is None or compared["op"] != "Eq":
        return None
    for place, value in ((compared["lhs"], compared["rhs"]), (compared["rhs"], compared["lhs"])):
        root, *path = reference(place) or (None,)
        text = text_of(value)
        if root == _INPUT and path and text is not None and all(p is not None for p in path):
            return tuple(part for part in path if part is not None), text
    return None


def _replaces(rule: Rule) -> bool:
    return any(s.get("with_mods") for query, _ in queries(rule) for s in query["stmts"])


def _apart(paths: set[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the paths but for those that lead into what another one has to be a text."""
    return sorted(p for p in paths if not any(p[:n] in paths for n in range(1, len(p))))


def _field(name: str) -> str:
    # A name of JSON is any text; one of Python is none of its keywords or methods.
    return "f" + name.encode("utf-8", "surrogatepass").hex()


def _shape(paths: Iterable[tuple[str, ...]]) -> type[msgspec.Struct]:
    """Return what reads of an event's JSON these places and nothing else."""
    below: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
    for path in paths:
        below[path[0]].append(path[1:])
    fields = []
    for name, rests in below.items():
        inner: Any = Any if rests == [()] else _shape(rests) | None
        fields.append((_field(name), inner, None))
    rename = {_field(name): name for name in below}
    return msgspec.defstruct("Shape", fields, rename=rename)
