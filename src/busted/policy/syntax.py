"""Reads the syntax tree that regorus gives of a module: its package, rules, calls and references.

The tree is JSON: a node is an object with one key, its kind, or a list of nodes. Spans count bytes
of the source; columns are counted here, since those of regorus take a tab for four. Nothing is
evaluated, and nothing but the tree and the text is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

# The parts of a reference; None where it is not known before it is evaluated.
Path: TypeAlias = tuple[str | None, ...]

REFERENCES = ("Var", "RefDot", "RefBrack")
_TEXTS = ("String", "RawString")
COMPREHENSIONS = ("ArrayCompr", "SetCompr", "ObjectCompr")
# Names in v0, unless imported. A rule `if` is half of a v1 rule, torn in two.
_LATER_KEYWORDS = ("if", "in", "every")


class Rule(msgspec.Struct, frozen=True):
    """A rule of a module, or one of several with its name.

    `start` is the byte where it begins, `end` where the next begins; `values` what it says when
    that is written down as text, and None when it is not. `arguments` is None but for functions.
    """

    path: Path
    start: int
    end: int
    values: tuple[str | None, ...]
    arguments: int | None
    is_default: bool
    is_set: bool
    tree: Any

    @property
    def name(self) -> str:
        """The first part of its path, which is all of it for most."""
        return self.path[0] or "" if self.path else ""


class Module(msgspec.Struct, frozen=True):
    """What is written in one file."""

    name: str
    text: bytes
    v1: bool
    package: tuple[str, ...]
    # The name it goes by here: what it stands for.
    imports: dict[str, tuple[str, ...]]
    rules: tuple[Rule, ...]

    @property
    def is_test(self) -> bool:
        """Whether it only tests others."""
        return self.name.endswith("_test.rego")

    def place(self, start: int) -> tuple[int, int]:
        """Return line and column of a byte, both from 1."""
        return place(self.text, start)


def place(text: bytes, at: int) -> tuple[int, int]:
    """Return line and column of a byte, both from 1."""
    before = text[:at]
    newline = before.rfind(b"\n") + 1
    return before.count(b"\n") + 1, len(before[newline:].decode("utf-8", "replace")) + 1


def module(name: str, text: str, *, v1: bool, tree: Any) -> Module:
    """Return what the tree of a module says; `tree` as in `get_ast_as_json`, under `ast`."""
    package = reference(tree["package"]["refr"])
    content = text.encode()
    imports = {}
    for imported in tree["imports"]:
        path = _known(reference(imported["refr"]))
        alias = imported.get("as")
        if path:
            named = content[alias["start"] : alias["end"]].decode() if alias else path[-1]
            imports[named] = path
    return Module(
        name,
        content,
        v1,
        # Some versions of the parser tell the package with `data` in front.
        _known(package[1:] if package[:1] == ("data",) else package),
        imports,
        _rules(tree["rules"], len(content)),
    )


def is_v1_at_heart(module: Module) -> bool:
    """Return whether a module that was read as v0 uses words as names that v1 made keywords.

    OPA refuses such names, regorus only warns; `decision := "allow" if x` would allow everything.
    """
    return any(
        rule.name in (*_LATER_KEYWORDS, "contains")
        or any(k == "Var" and n["value"] in _LATER_KEYWORDS for k, n in nodes(rule.tree))
        for rule in module.rules
    )


def queries(rule: Rule) -> Iterator[tuple[Any, int]]:
    """Yield the queries of a rule, and where the body ends that each is in."""
    ((kind, node),) = rule.tree.items()
    if kind == "Default":
        return
    bodies = node["bodies"]
    starts = [body["span"]["start"] for body in bodies]
    parts = [(node["head"], rule.end), *zip(bodies, [*starts, rule.end][1:], strict=True)]
    for part, end in parts:
        yield from ((query, end) for query in _all_queries(part))


def _all_queries(tree: Any) -> Iterator[Any]:
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            if isinstance(item.get("stmts"), list):
                yield item
            waiting += item.values()


def unsafe_negations(module: Module) -> Iterator[int]:
    """Yield where a `not` stands before something with `_`, which OPA calls unsafe."""
    for rule in module.rules:
        for query, _ in queries(rule):
            for statement in query["stmts"]:
                negated = statement["literal"].get("NotExpr")
                if negated and _has_wildcard(negated["expr"]):
                    yield statement["span"]["start"]


def _has_wildcard(tree: Any) -> bool:
    if isinstance(tree, list):
        return any(_has_wildcard(item) for item in tree)
    if not isinstance(tree, dict):
        return False
    return any(
        (kind == "Var" and node["value"] == "_")
        or (kind not in COMPREHENSIONS and _has_wildcard(node))
        for kind, node in tree.items()
    )


def calls(module: Module) -> Iterator[tuple[str, int, int]]:
    """Yield every call: the name as it is written, the byte where it starts, how many arguments."""
    for rule in module.rules:
        for kind, node in nodes(rule.tree):
            if kind == "Call":
                name = ".".join(part or "?" for part in reference(node["fcn"]))
                yield name, start(node["fcn"]), len(node["params"])


def references(tree: Any) -> Iterator[tuple[Path, int]]:
    """Yield the references in a part of a tree, each as long as it is written, and where."""
    if isinstance(tree, list):
        for item in tree:
            yield from references(item)
    elif isinstance(tree, dict):
        for kind, node in tree.items():
            if kind in REFERENCES and isinstance(node, dict):
                yield reference(tree), start(tree)
                yield from _indexes(tree)
            else:
                yield from references(node)


def nodes(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield the kind and the content of every node in a part of a tree."""
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += reversed(item)
        elif isinstance(item, dict):
            for kind, node in item.items():
                if kind[:1].isupper():
                    yield kind, node
            waiting += reversed(list(item.values()))


def reference(tree: Any) -> Path:
    """Return the parts of a reference, and () for what is none."""
    parts: list[str | None] = []
    while True:
        ((kind, node),) = tree.items()
        if kind == "RefDot":
            parts.append(node["field"][1])
        elif kind == "RefBrack":
            parts.append(text_of(node["index"]))
        elif kind == "Var":
            parts.append(node["value"])
            return tuple(reversed(parts))
        else:
            return ()
        tree = node["refr"]


def text_of(tree: Any) -> str | None:
    """Return the text that is written here, None when it is not a text."""
    ((kind, node),) = tree.items()
    return node["value"] if kind in _TEXTS else None


def start(tree: Any) -> int:
    """Return the byte where a reference or another expression starts."""
    ((_, node),) = tree.items()
    at: int = node["span"]["start"]
    return at


def _indexes(tree: Any) -> Iterator[tuple[Path, int]]:
    """Yield the references inside the brackets of a reference, and before them."""
    ((kind, node),) = tree.items()
    while kind in ("RefDot", "RefBrack"):
        if kind == "RefBrack":
            yield from references(node["index"])
        ((kind, inner),) = node["refr"].items()
        if kind not in REFERENCES:
            yield from references(node["refr"])
        node = inner


def _known(path: Path) -> tuple[str, ...]:
    """Return the parts up to the first that is not known."""
    known: list[str] = []
    for part in path:
        if part is None:
            break
        known.append(part)
    return tuple(known)


def _rules(trees: list[Any], size: int) -> tuple[Rule, ...]:
    """Return the rules; where one ends is not in the tree, a text's quote is left out there."""
    starts = [start(tree) for tree in trees]
    return tuple(
        _rule(tree, at, end)
        for tree, at, end in zip(trees, starts, [*starts, size][1:], strict=True)
    )


def _rule(tree: Any, at: int, end: int) -> Rule:
    ((kind, node),) = tree.items()
    if kind == "Default":
        name = reference(node["refr"])
        return Rule(
            name, at, end, (text_of(node["value"]),), len(node["args"]) or None, True, False, tree
        )
    ((shape, head),) = node["head"].items()
    assigned = [head.get("assign"), *(b["assign"] for b in node["bodies"] if b["is_else"])]
    values = tuple(text_of(a["value"]) if a else None for a in assigned)
    arguments = len(head["args"]) if shape == "Func" else None
    return Rule(reference(head["refr"]), at, end, values, arguments, False, shape == "Set", tree)
