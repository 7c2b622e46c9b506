"""Tests of policies: the rules `test_...` of a directory, as `opa test` runs them.

Strategy: each file with tests gets a process of its own that evaluates one test after the other and
says what came of it, so that a test that does not end, or brings the process down, is told as such
and costs the others of its file, not the run. Where several files of a package decide, a test
is about the one that it is named after: `models_test.rego` about `models.rego`.

A test passes when it is defined and not false. One that yields an object has a case for each key.
`todo_test_...` is skipped. Coverage counts lines of the files that are no tests.

Left out: isolation from a hostile policy. Tests are run by those who wrote them.

Reference: https://www.openpolicyagent.org/docs/latest/policy-testing/
"""

from __future__ import annotations

import multiprocessing
import re
import resource
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import msgspec
import regorus

from busted.policy import compiled
from busted.policy.sources import PolicyError, Sources, error, read
from busted.policy.syntax import Module

# A test is done in microseconds; this one will not end.
TEST_SECONDS = 10.0
# Of a process that evaluates tests: address space, most of which is never touched.
MEMORY_BYTES = 4 << 30
# The output of `print` that is kept of one test.
MAX_PRINTS = 100

Result = Literal["passed", "failed", "error", "skipped"]


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of one test; `seconds` is what evaluating it took."""

    file: str
    line: int
    name: str
    result: Result
    message: str | None = None
    seconds: float = 0.0
    prints: tuple[str, ...] = ()


class Lines(msgspec.Struct, frozen=True):
    """The lines of one file that were evaluated, and those that never were."""

    covered: frozenset[int] = frozenset()
    missed: frozenset[int] = frozenset()

    def __add__(self, other: Lines) -> Lines:
        """Return what two runs covered together."""
        covered = self.covered | other.covered
        return Lines(covered, (self.missed | other.missed) - covered)


class Report(msgspec.Struct):
    """What came of all tests, and what they covered, by file."""

    outcomes: list[Outcome]
    coverage: dict[str, Lines]

    @property
    def failed(self) -> bool:
        """Whether any test did not pass."""
        return any(outcome.result in ("failed", "error") for outcome in self.outcomes)


class _Case(msgspec.Struct, frozen=True):
    rule: str  # as regorus knows it
    name: str
    line: int


class _Loaded(msgspec.Struct, frozen=True):
    modules: list[Module]
    data: str


def run(
    source: Path,
    wanted: re.Pattern[str] | None = None,
    *,
    coverage: bool = False,
    seconds: float = TEST_SECONDS,
) -> Report:
    """Run the tests of a directory or file whose names `wanted` is found in.

    Raises PolicyError where the policy cannot be loaded.
    """
    loaded = _load(read(source, tests=True))
    report = Report([], {})
    for module in loaded.modules:
        cases = [case for case in _cases(module) if not wanted or wanted.search(case.name)]
        if not cases:
            continue
        names = Counter(case.name for case in cases)
        twice = [case for case in cases if names[case.name] > 1]
        # regorus answers for all of them at once: true if any of them is.
        report.outcomes += (
            _outcome(module, case, "error", "another test has this name") for case in twice
        )
        skipped = [case for case in cases if case.name.rpartition(".")[2].startswith("todo_")]
        report.outcomes += (_outcome(module, case, "skipped") for case in skipped)
        _run_file(
            loaded,
            module,
            [case for case in cases if case not in twice and case not in skipped],
            report,
            coverage,
            seconds,
        )
    return report


def covered(source: Path | str, events: list[bytes]) -> dict[str, Lines]:
    """Return which lines of a policy are evaluated for events, given their JSON, by file.

    Raises PolicyError where the policy cannot be loaded.
    """
    loaded = _load(read(source))
    found: dict[str, Lines] = {}
    for module in loaded.modules:
        if not _decides(module):
            continue
        engine = _engine(loaded, module)
        engine.set_enable_coverage(True)
        for event in events:
            try:
                engine.set_input_json(event.decode())
                engine.eval_query("data." + ".".join(module.package))
            except (RuntimeError, UnicodeDecodeError):
                continue  # what was evaluated until then counts
        _add_coverage(found, loaded, engine)
    return found


def _load(sources: Sources) -> _Loaded:
    modules, problems = compiled.parse(sources.modules)
    problems += compiled.refused(modules)
    if problems:
        raise PolicyError(tuple(problems))
    return _Loaded(modules, compiled.merged_data(sources.data))


def _cases(module: Module) -> Iterator[_Case]:
    package = ".".join(module.package)
    for rule in module.rules:
        if rule.name.startswith(("test_", "todo_test_")) and not rule.is_default:
            name = f"data.{package}.{rule.name}"
            yield _Case(name, name, module.place(rule.start)[0])


def _outcome(
    module: Module, case: _Case, result: Result, message: str | None = None, **more: Any
) -> Outcome:
    return Outcome(module.name, case.line, case.name, result, message, **more)


def _run_file(
    loaded: _Loaded,
    module: Module,
    cases: list[_Case],
    report: Report,
    coverage: bool,
    seconds: float,
) -> None:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_evaluate_all, args=(loaded, module, cases, coverage, sender))
    process.start()
    sender.close()
    with receiver:
        for number, case in enumerate(cases):
            outcomes, why = _received(receiver, seconds)
            if why:
                process.kill()
                report.outcomes.append(_outcome(module, case, "error", why))
                report.outcomes += (
                    _outcome(module, other, "error", f"not run: {case.name} {why}")
                    for other in cases[number + 1 :]
                )
                break
            report.outcomes += msgspec.json.decode(outcomes, type=list[Outcome])
        else:
            found, why = _received(receiver, seconds)
            for name, lines in msgspec.json.decode(found or b"{}", type=dict[str, Lines]).items():
                report.coverage[name] = report.coverage.get(name, Lines()) + lines
    process.join()


def _received(receiver: Connection, seconds: float) -> tuple[bytes, str | None]:
    """Return what the process says next, or why it says nothing."""
    try:
        if receiver.poll(seconds):
            return receiver.recv_bytes(), None
        return b"", f"took more than {seconds:g} s"
    except (EOFError, OSError):
        return b"", "brought its process down"


def _evaluate_all(
    loaded: _Loaded, module: Module, cases: list[_Case], coverage: bool, sender: Connection
) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        engine = _engine(loaded, _subject(loaded.modules, module))
    except PolicyError as failure:
        for case in cases:
            outcome = _outcome(module, case, "error", str(failure))
            sender.send_bytes(msgspec.json.encode([outcome]))
        sender.send_bytes(b"{}")
        return
    engine.set_gather_prints(True)
    engine.set_enable_coverage(coverage)
    for case in cases:
        sender.send_bytes(msgspec.json.encode(list(_evaluated(engine, loaded, module, case))))
    found: dict[str, Lines] = {}
    if coverage:
        _add_coverage(found, loaded, engine)
    sender.send_bytes(msgspec.json.encode(found))


def _evaluated(
    engine: regorus.Engine, loaded: _Loaded, module: Module, case: _Case
) -> Iterator[Outcome]:
    start = time.perf_counter()
    message: str | None = None
    value: Any = None
    try:
        value = engine.eval_rule(case.rule)
    except RuntimeError as failure:
        texts = {m.name: m.text.decode() for m in loaded.modules}
        given = {m.name: compiled.prepared(m) for m in loaded.modules}
        message = str(compiled.problem(str(failure), texts, given))
    seconds = time.perf_counter() - start
    prints = tuple(engine.take_prints()[:MAX_PRINTS])
    if message:
        yield _outcome(module, case, "error", message, seconds=seconds, prints=prints)
        return
    values = {f"{case.name}[{key}]": one for key, one in value.items()} if _is_table(value) else {}
    for name, one in values.items() or [(case.name, value)]:
        why = "is undefined" if one is None else "is false" if one is False else None
        result: Result = "failed" if why else "passed"
        yield Outcome(module.name, case.line, name, result, why, seconds, prints)
        seconds, prints = 0.0, ()  # told once, with the first


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and bool(value)


def _subject(modules: list[Module], test: Module) -> Module | None:
    """Return the file that a test is about; None where no file of its policy is one of several.

    Raises PolicyError where it cannot be told.
    """
    deciding = [module for module in modules if _decides(module)]
    named = test.name.removesuffix("_test.rego") + ".rego"
    for module in deciding:
        if module.name == named:
            return module
    packages = Counter(module.package for module in deciding)
    if any(count > 1 for count in packages.values()):
        message = (
            "several files of one package decide: name a test after the file that it is about, "
            "models_test.rego for models.rego"
        )
        raise PolicyError((error(test.name, message),))
    return None


def _decides(module: Module) -> bool:
    return not module.is_test and bool(compiled.deciding([module]))


def _engine(loaded: _Loaded, subject: Module | None) -> regorus.Engine:
    """Return an engine in which, of files that decide in one package, one has its rules."""
    spoken = {subject.package: subject} if subject else {}
    engine = regorus.Engine()
    for module in loaded.modules:
        first = spoken.setdefault(module.package, module) if _decides(module) else module
        engine.set_rego_v0(not module.v1)
        text = compiled.prepared(module, silent=first is not module).text
        engine.add_policy(module.name, text)
    engine.set_rego_v0(False)
    engine.add_data_json(loaded.data)
    return engine


def _add_coverage(found: dict[str, Lines], loaded: _Loaded, engine: regorus.Engine) -> None:
    names = {module.name for module in loaded.modules if not module.is_test}
    for file in msgspec.json.decode(engine.get_coverage_report_as_json())["files"]:
        if file["path"] in names:
            lines = Lines(frozenset(file["covered"]), frozenset(file["not_covered"]))
            found[file["path"]] = found.get(file["path"], Lines()) + lines
