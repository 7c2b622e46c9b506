"""A policy made ready: checks the modules, asks regorus, and makes one decision of several.

Strategy: what decides is a file with a rule `decision` in package `busted` or below. Rego merges
files of one package, so two files that decide differently would contradict one another. Here each
speaks for itself: there are as many engines as one package has such files, and of every package
each engine has the `decision`, `reason` and `reasons` of one file, blanked out in the others, so
that all else is shared and every place stays where it is. Of what the files say the most severe
counts.

A module is read as Rego v1, and as v0 where that fails. What regorus cannot do, or does otherwise
than OPA, is refused with its place before anything is evaluated: it would tell some of it only
when the line is reached, and answer the rest with nothing.

What an event rules out is not evaluated: rules begin by asking what an event is (guards.py), and of
the kinds of events that come most there are engines without the rules that say nothing of them.

What regorus says of an error may hold what people wrote to a model. Only words that stand in the
policy itself are passed on.

Left out: time. Who asks limits how long it may take.

Reference: https://www.openpolicyagent.org/docs/latest/policy-language/
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeAlias, cast

import msgspec
import regorus

from busted.events import Decision
from busted.policy import syntax
from busted.policy.builtins import REFUSED, REFUSED_FORMS
from busted.policy.guards import Guarded, Index, guarded
from busted.policy.messages import Answer
from busted.policy.rewriting import Rewritten, rewritten
from busted.policy.sources import PolicyError, Problem, Source, Sources, error

PACKAGE = "busted"
SEVERITY: tuple[Decision, ...] = ("allow", "audit", "deny")

# A reason is for people to read; what is longer holds content.
MAX_REASONS = 16
MAX_REASON_CHARACTERS = 500
MAX_ERROR_CHARACTERS = 500

# A policy without the rules that an event rules out is made when so many such events have come, for
# as many kinds of events as a host usually has.
MET = 8
MAX_SMALLER = 16
# Other kinds are counted for so many; then counting begins anew.
MAX_MET = 256
# Of rules and data; to compile as many takes up to ten milliseconds, and an event may wait for it.
MAX_SMALLER_BYTES = 64 << 10

DECIDING = ("decision", "reasons", "reason")

# What is asked is a module of its own, compiled with the rest: `all`, for each file N that decides
# `file_N`, and `decision_N` for its decision alone.
_ASKED = "busted_asked"


class _Said(msgspec.Struct, frozen=True):
    """The values of one file's rules, each in a list that is empty when it is undefined."""

    decision: list[Any]
    reasons: list[Any] = []
    reason: list[Any] = []


class _Entry(msgspec.Struct, frozen=True):
    """A file that decides: its package, and which of the three rules there are."""

    module: syntax.Module
    names: tuple[str, ...]

    @property
    def rule(self) -> str:
        return ".".join((*self.module.package, "decision"))

    def question(self, names: tuple[str, ...]) -> str:
        """Return Rego for an object of these rules' values."""
        data = "data" + "".join(f'["{part}"]' for part in self.module.package)
        return "{" + ", ".join(f'"{name}": [x | x := {data}.{name}]' for name in names) + "}"


_Layer: TypeAlias = tuple[regorus.Engine, tuple[_Entry, ...]]


_DECODER = msgspec.json.Decoder(_Said)
_ALL_DECODER = msgspec.json.Decoder(tuple[_Said, ...])


class Compiled:
    """A policy that answers; `on_error` is what counts for a file whose rules fail.

    Raises PolicyError when it cannot be loaded. What can crash or hang is up to regorus: this is
    for a process that may be lost.
    """

    def __init__(self, sources: Sources, on_error: Decision, *, tried: bool = False) -> None:
        """Parse, check and prepare; sources that are tests are parsed and left out.

        Each rule is evaluated once without an event, unless all that has been `tried` before.
        """
        self._on_error = on_error
        parsed, problems = parse(sources.modules)
        problems += refused(parsed)
        if problems:
            raise PolicyError(tuple(problems))
        self._texts = {m.name: m.text.decode() for m in parsed}
        modules = [m for m in parsed if not m.is_test]
        self._prepared = {m.name: prepared(m) for m in modules}
        self._modules, self._groups = modules, deciding(modules)
        if not self._groups:
            raise PolicyError((error("", f"no rule `decision` in package {PACKAGE} or below it"),))
        self._data = merged_data(sources.data)
        self._layers = self._made(())
        for engine, _ in () if tried else self._layers:
            self._try(engine, modules)
        size = len(self._data) + sum(len(m.text) for m in modules)
        self._guarded = guarded(modules) if size <= MAX_SMALLER_BYTES else ()
        self._index = Index(self._guarded)
        self._smaller: dict[int, list[_Layer]] = {}
        self._met: Counter[int] = Counter()

    @property
    def versions(self) -> dict[str, str]:
        """Return which Rego each file that decides is written in, by name."""
        return {e.module.name: _version(e.module) for _, entries in self._layers for e in entries}

    def evaluate(self, event: bytes) -> Answer:
        """Return what the policy says of an event's JSON; whatever happens, there is an answer."""
        said: list[Answer] = []
        for engine, entries in self._layers_for(event):
            try:
                engine.set_input_json(event.decode())
            except (RuntimeError, UnicodeDecodeError):
                return Answer(self._on_error, error="the event is no JSON", kind="input")
            said += self._ask(engine, entries)
        return _most_severe(said)

    def prepare(self, met: int = MET) -> None:
        """Make what is evaluated for the events that came most: `met` times at least.

        To be called while nothing waits for an answer: it takes milliseconds, now and then.
        """
        # Not by `most_common`, which imports something: a worker can open nothing.
        left = max(self._met, key=self._met.__getitem__, default=None)
        if left is None or self._met[left] < met or len(self._smaller) >= MAX_SMALLER:
            return
        del self._met[left]
        ruled_out = [rule for n, rule in enumerate(self._guarded) if not left >> n & 1]
        try:
            self._smaller[left] = self._made(ruled_out)
        except PolicyError:
            self._smaller[left] = self._layers

    def _layers_for(self, event: bytes) -> list[_Layer]:
        """Return what has to be evaluated: the whole, or what its rules' guards leave of it."""
        if not self._guarded:
            return self._layers
        left = self._index.left(event)
        if left not in self._smaller:
            self._met[left] += 1
            if len(self._met) > MAX_MET:
                self._met.clear()
        return self._smaller.get(left, self._layers)

    def _made(self, without: Sequence[Guarded]) -> list[_Layer]:
        ruled_out = {
            m.name: {g.start for g in without if g.module == m.name} for m in self._modules
        }
        return [
            self._layer(self._modules, self._groups, ruled_out, number)
            for number in range(max(len(files) for files in self._groups.values()))
        ]

    def _layer(
        self,
        modules: list[syntax.Module],
        groups: dict[tuple[str, ...], list[syntax.Module]],
        ruled_out: dict[str, set[int]],
        number: int,
    ) -> _Layer:
        engine = regorus.Engine()
        speaking = {p: files[number if number < len(files) else 0] for p, files in groups.items()}
        kept: dict[tuple[str, ...], set[str]] = {}
        for m in modules:
            silent = (
                m.package in speaking and m in groups[m.package] and m is not speaking[m.package]
            )
            text = prepared(m, silent=silent, ruled_out=ruled_out[m.name]).text
            if not silent:
                kept.setdefault(m.package, set()).update(r.name for r in m.rules)
            engine.set_rego_v0(not m.v1)
            engine.add_policy(m.name, text)
        entries = tuple(
            _Entry(m, tuple(name for name in DECIDING if name in kept[p]))
            for p, m in speaking.items()
            if number < len(groups[p])
        )
        engine.set_rego_v0(False)
        engine.add_policy(_ASKED, _questions(entries))
        engine.add_data_json(self._data)
        try:
            # Some unsafe variables and the like are found when anything is asked.
            engine.eval_query("true")
        except RuntimeError as failure:
            raise PolicyError((self._problem(str(failure)),)) from None
        return engine, entries

    def _try(self, engine: regorus.Engine, modules: list[syntax.Module]) -> None:
        """Raise PolicyError for what is only found to be unsafe when it is evaluated."""
        engine.set_input_json("{}")
        failures = [
            _failure(engine, (*m.package, name))
            for m in modules
            for name in {r.name: r for r in m.rules if r.arguments is None}
        ]
        unsafe = [self._problem(text) for text in failures if _UNSAFE in text]
        if unsafe:
            raise PolicyError(tuple(unsafe))

    def _ask(self, engine: regorus.Engine, entries: tuple[_Entry, ...]) -> Iterator[Answer]:
        """Ask for all at once, and one by one when that fails, to know whose failure it is."""
        try:
            said = _ALL_DECODER.decode(engine.eval_rule_as_json(f"data.{_ASKED}.all"))
            yield from [self._answer(e, s) for e, s in zip(entries, said, strict=True)]
            return
        except (RuntimeError, msgspec.DecodeError):
            pass
        for number, entry in enumerate(entries):
            try:
                yield self._answer(entry, _asked(engine, f"file_{number}"))
            except (RuntimeError, msgspec.DecodeError) as failure:
                yield self._failed(engine, entry, number, str(failure))

    def _failed(self, engine: regorus.Engine, entry: _Entry, number: int, text: str) -> Answer:
        """Return the decision of a file where something failed; its reasons may have been that."""
        told = self._problem(text)
        conflict = "conflict" in told.message or "multiple outputs" in told.message
        kind = "conflict" if conflict else "failed"
        # What follows may be a value of the event; of what is known to be none, all is told.
        safe = next((words[0] for words in _SAFE.finditer(told.message)), "cannot be evaluated")
        told = Problem(told.file, told.line, told.column, told.severity, safe)
        decision = self._on_error
        try:
            alone = self._answer(entry, _asked(engine, f"decision_{number}"))
            # Nothing here is more lenient than what an error yields.
            decision = max(decision, alone.decision, key=SEVERITY.index)
        except (RuntimeError, msgspec.DecodeError):
            pass
        return Answer(decision, (), entry.rule, entry.module.name, str(told), kind)

    def _answer(self, entry: _Entry, said: _Said) -> Answer:
        name = entry.module.name
        if not said.decision:
            return Answer("allow", rule=entry.rule, file=name, undefined=True)
        decision = said.decision[0]
        if decision not in SEVERITY:
            known = ", ".join(f'"{d}"' for d in SEVERITY)
            kind = "unknown" if isinstance(decision, str) else "wrong_type"
            text = f"{name}: error: {entry.rule} is none of {known}"
            return Answer(self._on_error, (), entry.rule, name, text, kind)
        reasons = tuple(_reasons(said)) if decision != "allow" else ()
        place = _place(entry.module, decision)
        return Answer(cast(Decision, decision), reasons, entry.rule, place)

    def _problem(self, text: str) -> Problem:
        """Return where and what an error of regorus is, without anything that is not policy."""
        return problem(text, self._texts, self._prepared)


def parse(sources: tuple[Source, ...]) -> tuple[list[syntax.Module], list[Problem]]:
    """Return the modules that can be read, and what is wrong with the others."""
    modules, problems = [], []
    for source in sources:
        v1 = _parsed(source, v1=True)
        if isinstance(v1, syntax.Module):
            modules.append(v1)
            continue
        v0 = _parsed(source, v1=False)
        if isinstance(v0, Problem):
            # The version that it is written in is the one that reads further.
            problems.append(max((v0, v1), key=lambda p: (p.line, p.column)))
        elif syntax.is_v1_at_heart(v0):
            problems.append(v1)
        else:
            modules.append(v0)
    return modules, problems


def refused(modules: list[syntax.Module]) -> list[Problem]:
    """Return every call of a function that there is not, or that would not do what OPA's does."""
    supported = set(_builtins())
    functions = {
        (*m.package, *(part or "" for part in rule.path))
        for m in modules
        for rule in m.rules
        if rule.arguments is not None
    }
    problems = []
    for m in modules:
        if m.package[:1] == (_ASKED,):
            problems.append(error(m.name, f"package {_ASKED} is ours"))
        for name, at, arguments in syntax.calls(m):
            first, *rest = name.split(".")
            if first == "data":
                path: tuple[str, ...] = tuple(rest)
            elif first in m.imports and m.imports[first][0] == "data":
                path = (*m.imports[first][1:], *rest)
            else:
                path = (*m.package, first, *rest)
            if path in functions:
                continue
            reason = REFUSED.get(name) or REFUSED_FORMS.get((name, arguments))
            if reason:
                message = f"{name} is refused: {reason}"
            elif name in supported or name == "print":
                continue
            else:
                message = f"there is no function {name} here"
            problems.append(Problem(m.name, *m.place(at), "error", message))
        problems += (
            Problem(
                m.name, *m.place(rule.start), "error", "a set below a variable is not supported"
            )
            for rule in m.rules
            if rule.is_set and None in rule.path
        )
        problems += (
            Problem(m.name, *m.place(at), "error", "_ is unsafe in what `not` stands before")
            for at in syntax.unsafe_negations(m)
        )
    return problems


def prepared(
    module: syntax.Module, *, silent: bool = False, ruled_out: Collection[int] = ()
) -> Rewritten:
    """Return what regorus is to be given of a module; a `silent` one decides nothing itself.

    `ruled_out` are rules to be left out, by the bytes where they begin.
    """
    return rewritten(module, DECIDING if silent else (), ruled_out)


def merged_data(sources: tuple[Source, ...]) -> str:
    """Return the data of all files in one JSON object; raises PolicyError for what contradicts."""
    merged: dict[str, Any] = {}
    for source in sources:
        try:
            text = source.text if source.name.endswith(".json") else _yaml_as_json(source.text)
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RuntimeError) as failure:
            first = str(failure).strip().splitlines()[-1]
            raise PolicyError((error(source.name, f"no valid data: {first}"),)) from None
        if not isinstance(value, dict):
            raise PolicyError((error(source.name, "data must be an object"),))
        _merge(merged, value, source.name, ())
    return msgspec.json.encode(merged).decode()


def problem(text: str, texts: dict[str, str], given: dict[str, Rewritten] | None = None) -> Problem:
    """Return an error of regorus as a problem, in its place in the modules' own texts.

    `texts` are those by name, `given` what regorus was given instead.
    """
    found = _PLACE.search(text)
    name, line, column = "", 0, 0
    if found and found[1] in texts:
        name = found[1]
        read = (given or {}).get(name) or Rewritten(texts[name])
        at = read.original(_byte(read.text, int(found[2]), int(found[3])))
        line, column = syntax.place(texts[name].encode(), at)
    message = text.partition("error: ")[2] or "cannot be evaluated"
    message = message.partition("\n\nStack backtrace")[0].partition(" (path [")[0].strip()
    return Problem(name, line, column, "error", message[:MAX_ERROR_CHARACTERS])


_PLACE = re.compile(r"--> (.*):(\d+):(\d+)\n")
_UNSAFE = " is unsafe"
# Beginnings of what regorus says of a failure that hold no values.
_SAFE = re.compile(
    r"^(rule conflicts with rule at .*:\d+:\d+$|rules must not produce multiple outputs"
    r"|functions must not produce multiple outputs|complete rules should not produce multiple"
    r"|divide by zero|modulo on floating-point number"
    r"|could not parse string as number|invalid regex"
    r"|`[\w.]+` (requires|expects) [\w/ ]+ argument)"
)


def _byte(text: str, line: int, told: int) -> int:
    """Return the byte of a place that regorus tells; it counts a tab as four columns."""
    lines = text.split("\n")
    before = len("\n".join(lines[: line - 1]).encode()) + (line > 1)
    width, characters = 1, 0
    for character in lines[line - 1] if line <= len(lines) else "":
        if width >= told:
            break
        width += 4 if character == "\t" else 1
        characters += 1
    return before + len(lines[line - 1][:characters].encode()) if line <= len(lines) else before


def _parsed(source: Source, *, v1: bool) -> syntax.Module | Problem:
    engine = regorus.Engine()
    engine.set_rego_v0(not v1)
    try:
        engine.add_policy(source.name, source.text)
    except RuntimeError as failure:
        return problem(str(failure), {source.name: source.text})
    (file,) = msgspec.json.decode(engine.get_ast_as_json())
    return syntax.module(source.name, source.text, v1=v1, tree=file["ast"])


def _failure(engine: regorus.Engine, path: tuple[str, ...]) -> str:
    try:
        engine.eval_rule_as_json(".".join(("data", *path)))
    except RuntimeError as failure:
        return str(failure)
    return ""


def _builtins() -> list[str]:
    """Return the functions that this build of regorus has."""
    result = _evaluated("opa.runtime().builtins")
    return cast(list[str], result)


def _yaml_as_json(text: str) -> str:
    result = _evaluated("json.marshal(yaml.unmarshal(input))", text)
    return cast(str, result)


def _evaluated(query: str, value: str = "") -> Any:
    engine = regorus.Engine()
    engine.set_input_json(msgspec.json.encode(value).decode())
    return engine.eval_query(query)["result"][0]["expressions"][0]["value"]


def _merge(into: dict[str, Any], new: dict[str, Any], file: str, path: tuple[str, ...]) -> None:
    for key, value in new.items():
        old = into.get(key)
        if key not in into:
            into[key] = value
        elif isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value, file, (*path, key))
        elif old != value:
            place = ".".join(("data", *path, key))
            raise PolicyError((error(file, f"{place} is in another data file, too"),))


def deciding(modules: list[syntax.Module]) -> dict[tuple[str, ...], list[syntax.Module]]:
    """Return the files that decide, by package."""
    groups: dict[tuple[str, ...], list[syntax.Module]] = {}
    for m in modules:
        if m.package[:1] == (PACKAGE,) and any(rule.name == "decision" for rule in m.rules):
            groups.setdefault(m.package, []).append(m)
    return groups


def _questions(entries: tuple[_Entry, ...]) -> str:
    """Return the module that asks."""
    numbers = range(len(entries))
    return "\n".join(
        (
            f"package {_ASKED}",
            f"all := [{', '.join(f'file_{n}' for n in numbers)}]",
            *(f"file_{n} := {entries[n].question(entries[n].names)}" for n in numbers),
            *(f"decision_{n} := {entries[n].question(('decision',))}" for n in numbers),
        )
    )


def _asked(engine: regorus.Engine, rule: str) -> _Said:
    return _DECODER.decode(engine.eval_rule_as_json(f"data.{_ASKED}.{rule}"))


def _most_severe(said: list[Answer]) -> Answer:
    """Return what counts: the most severe decision, errors told, and all of its reasons."""
    strongest = max(
        said, key=lambda a: (SEVERITY.index(a.decision), a.error is None, not a.undefined)
    )
    agreeing = [a for a in said if a.decision == strongest.decision]
    failed = next((a for a in said if a.error), None)
    if all(a.undefined for a in said):
        return Answer("allow", undefined=True)
    return Answer(
        strongest.decision,
        tuple(dict.fromkeys(r for a in agreeing for r in a.reasons))[:MAX_REASONS],
        strongest.rule,
        strongest.file,
        failed.error if failed else None,
        failed.kind if failed else None,
    )


def _reasons(said: _Said) -> Iterator[str]:
    """Yield the reasons as text; of what is no text, its JSON."""
    for value in (*said.reason, *said.reasons):
        for reason in value if isinstance(value, list) else [value]:
            text = reason if isinstance(reason, str) else msgspec.json.encode(reason).decode()
            yield text[:MAX_REASON_CHARACTERS]


def _place(m: syntax.Module, decision: str) -> str:
    """Return the file, and the line when only one rule of it can have said this."""
    rules = [rule for rule in m.rules if rule.name == "decision"]
    able = [rule for rule in rules if None in rule.values or decision in rule.values]
    return f"{m.name}:{m.place(able[0].start)[0]}" if len(able) == 1 else m.name


def _version(m: syntax.Module) -> str:
    return "v1" if m.v1 else "v0"
