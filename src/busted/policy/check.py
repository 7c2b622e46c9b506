"""What is wrong with a policy, found without asking it anything: for those who write one.

Errors are what keeps it from being loaded, as `compiled` finds them. Warnings are what loads and
most likely is a mistake: a field that no event has, a value that a field never has, data that there
is not, a rule that nothing uses, a decision where nobody asks for one. Such rules load and never
fire.

Fields are looked up in the JSON Schema of events. Followed are references that begin with `input`,
with an import of it, or with a variable that is once assigned one or taken from one by `some` or
`every`. What is only known when it is evaluated is not complained of.

Left out: types of what is compared, but for texts of which only some are possible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from busted.policy import syntax
from busted.policy.compiled import (
    DECIDING,
    PACKAGE,
    Compiled,
    merged_data,
    parse,
)
from busted.policy.sources import PolicyError, Problem, read

# What a reference may mean in the schema of events: several where an action may be of any kind.
Meanings = tuple[Mapping[str, Any], ...]

_COMPARING = ("BoolExpr", "AssignExpr")


def check(directory: Path, schema: Mapping[str, Any]) -> list[Problem]:
    """Return all problems of the policy in a directory or file, by file and line.

    `schema` is the JSON Schema of an event, as `msgspec.json.schema` gives it. Tests are only
    parsed.
    """
    try:
        sources = read(directory, tests=True)
        modules, problems = parse(sources.modules)
        if not problems:
            Compiled(sources, on_error="deny")
    except PolicyError as failure:
        return _sorted(failure.problems)
    data = msgspec.json.decode(merged_data(sources.data))
    deciding = [m for m in modules if not m.is_test]
    for m in deciding:
        problems += _Fields(m, schema).problems()
        problems += _absent_data(m, deciding, data)
        problems += _unasked(m)
    problems += _unused(deciding)
    return _sorted(problems)


def _sorted(problems: list[Problem] | tuple[Problem, ...]) -> list[Problem]:
    unique = {str(p): p for p in problems}
    return sorted(unique.values(), key=lambda p: (p.file, p.line, p.column))


class _Fields:
    """Looks up in the schema what a module reads of an event."""

    def __init__(self, module: syntax.Module, schema: Mapping[str, Any]) -> None:
        self._module, self._schema = module, schema
        self._event = self._resolved(schema)

    def problems(self) -> Iterator[Problem]:
        for rule in self._module.rules:
            known = self._variables(rule.tree)
            for path, at in syntax.references(rule.tree):
                _, missing = self._walked(path, known)
                if missing is not None:
                    yield self._warning(at, f"no event has {_dotted(path[: missing + 1])}")
            yield from self._comparisons(rule.tree, known)

    def _variables(self, tree: Any) -> dict[str, Meanings]:
        """Return what the variables of a rule mean that stand for a part of the event."""
        known: dict[str, Meanings] = {}
        for name, path in self._module.imports.items():
            if path[0] == "input":
                known[name] = self._walked(path, {})[0]
        for kind, node in syntax.nodes(tree):
            name = ""
            meanings: Meanings = ()
            if kind == "AssignExpr" and node["op"] == "ColEq" and "Var" in node["lhs"]:
                name = node["lhs"]["Var"]["value"]
                meanings = self._meant(node["rhs"], known)
            elif kind == "SomeIn" and "Var" in node["value"]:
                name = node["value"]["Var"]["value"]
                meanings = self._items(self._meant(node["collection"], known))
            elif kind == "Every":
                span = node["value"]
                name = self._module.text[span["start"] : span["end"]].decode()
                meanings = self._items(self._meant(node["domain"], known))
            if name:
                # One name for two things: which is meant where, is not looked at.
                known[name] = () if name in known else meanings
        return known

    def _comparisons(self, tree: Any, known: dict[str, Meanings]) -> Iterator[Problem]:
        for kind, node in syntax.nodes(tree):
            if kind in _COMPARING and node["op"] in ("Eq", "Ne"):
                for one, other in ((node["lhs"], node["rhs"]), (node["rhs"], node["lhs"])):
                    yield from self._impossible(one, [other], known)
            elif kind == "Membership":
                ((collection, content),) = node["collection"].items()
                if collection in ("Set", "Array"):
                    yield from self._impossible(node["value"], content["items"], known)

    def _impossible(
        self, tree: Any, values: list[Any], known: dict[str, Meanings]
    ) -> Iterator[Problem]:
        """Yield a warning for each text that a field can never be."""
        possible: set[str] = set()
        for meaning in self._meant(tree, known):
            if "enum" not in meaning:
                return
            possible.update(map(str, meaning["enum"]))
        for value in values if possible else ():
            text = syntax.text_of(value)
            if text is not None and text not in possible:
                field = _dotted(syntax.reference(tree))
                yield self._warning(syntax.start(tree), f'{field} is never "{text}"')

    def _meant(self, tree: Any, known: dict[str, Meanings]) -> Meanings:
        path = syntax.reference(tree)
        return self._walked(path, known)[0] if path else ()

    def _walked(self, path: syntax.Path, known: dict[str, Meanings]) -> tuple[Meanings, int | None]:
        """Return what a reference may mean, and which part of it there is not, if there is one."""
        if not path:
            return (), None
        meanings = self._event if path[0] == "input" else known.get(path[0] or "", ())
        for number, part in enumerate(path[1:], 1):
            if not meanings:
                return (), None
            found = self._members(meanings, part)
            if found is None:
                return (), number
            meanings = found
        return meanings, None

    def _members(self, meanings: Meanings, part: str | None) -> Meanings | None:
        """Return what one part of a reference leads to; None when it leads nowhere."""
        found: list[Mapping[str, Any]] = []
        open_ended = False
        for meaning in meanings:
            if meaning.get("type") == "array":
                # An index is a number or a variable; a name there is none.
                found += self._resolved(meaning["items"]) if part is None else ()
            elif "properties" in meaning:
                open_ended |= part is None
                if part in meaning["properties"]:
                    found += self._resolved(meaning["properties"][part])
            elif "additionalProperties" in meaning:
                found += self._resolved(meaning["additionalProperties"])
        return tuple(found) if found or open_ended else None

    def _items(self, meanings: Meanings) -> Meanings:
        return self._members(meanings, None) or ()

    def _resolved(self, meaning: Mapping[str, Any]) -> Meanings:
        """Return what a part of the schema stands for, without references and `null`."""
        if "$ref" in meaning:
            name = str(meaning["$ref"]).rpartition("/")[2]
            return self._resolved(self._schema["$defs"][name])
        if "anyOf" in meaning:
            return tuple(m for one in meaning["anyOf"] for m in self._resolved(one))
        return () if meaning.get("type") == "null" else (meaning,)

    def _warning(self, at: int, message: str) -> Problem:
        return _warning(self._module, at, message)


def _absent_data(
    module: syntax.Module, modules: list[syntax.Module], data: Any
) -> Iterator[Problem]:
    """Yield a warning for each reference to data that no file and no rule gives."""
    for rule in module.rules:
        for path, at in syntax.references(rule.tree):
            first = path[0] if path else None
            if first == "data":
                full = path[1:]
            elif first in module.imports and module.imports[first][0] == "data":
                full = (*module.imports[first][1:], *path[1:])
            else:
                continue
            if not (_in_data(full, data) or _in_rules(full, modules)):
                yield _warning(module, at, f"there is no {_dotted(('data', *full))}")


def _in_data(path: syntax.Path, data: Any) -> bool:
    for part in path:
        if part is None or not isinstance(data, dict):
            return True
        if part not in data:
            return False
        data = data[part]
    return True


def _in_rules(path: syntax.Path, modules: list[syntax.Module]) -> bool:
    for m in modules:
        names = [(*m.package, *rule.path) for rule in m.rules]
        for name in names:
            pairs = zip(path, name, strict=False)
            if all(one == other or None in (one, other) for one, other in pairs):
                return True
    return False


def _unasked(module: syntax.Module) -> Iterator[Problem]:
    if module.package[:1] == (PACKAGE,):
        return
    for rule in module.rules:
        if rule.name == "decision":
            package = ".".join(module.package)
            message = f"nobody asks for the decision of package {package}, only of {PACKAGE}"
            yield _warning(module, rule.start, message)


def _unused(modules: list[syntax.Module]) -> Iterator[Problem]:
    """Yield a warning for each rule that neither decides nor is used by one."""
    used: set[tuple[str | None, ...]] = set()
    for m in modules:
        for rule in m.rules:
            own = (*m.package, rule.name)
            for path, _ in syntax.references(rule.tree):
                first = path[0] if path else None
                if first == "data":
                    used.update(path[1:end] for end in range(2, len(path) + 1))
                elif first in m.imports and m.imports[first][0] == "data":
                    full = (*m.imports[first][1:], *path[1:])
                    used.update(full[:end] for end in range(1, len(full) + 1))
                elif (*m.package, first) != own:
                    used.add((*m.package, first))
    for m in modules:
        for rule in m.rules:
            if rule.name not in DECIDING and (*m.package, rule.name) not in used:
                yield _warning(m, rule.start, f"nothing uses {rule.name}")


def _dotted(path: syntax.Path) -> str:
    return ".".join(part or "_" for part in path)


def _warning(module: syntax.Module, at: int, message: str) -> Problem:
    line, column = module.place(at)
    return Problem(module.name, line, column, "warning", message)
