import importlib.util
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from busted.events import PolicyDecision
from busted.policy import engine as engine_module
from busted.policy.engine import COUNTS, PolicyEngine
from busted.policy.messages import Ask, frame
from busted.policy.sources import PolicyError
from tests.unit.policy.test_compiled import OUTCOMES

SECONDS = 20.0
POLICY = """package busted
default decision := "audit"
decision := "deny" if input.deny
reasons contains "because" if input.deny
decision := "deny" if {
	input.hang
	many := numbers.range(1, 9000)
	count([1 | some a in many; some b in many; a < b; b < a]) == 1
}
decision := "deny" if {
	input.memory
	many := numbers.range(1, 2000)
	count([s | some a in many; some b in many; s := [a, b]]) == 1
}
decision := "deny" if { input.crash; forever(input.crash) }
forever(x) := ever(x + 1)
ever(x) := forever(x)
"""
AUDITED, DENIED = b"{}", b'{"deny": 1}'
HANGING, GREEDY, CRASHING = b'{"hang": 1}', b'{"memory": 1}', b'{"crash": 1}'


@pytest.fixture
def engine() -> Iterator[PolicyEngine]:
    with PolicyEngine(POLICY, deadline_seconds=SECONDS) as engine:
        yield engine


def decisions(decided: list[PolicyDecision]) -> list[str]:
    return [d.decision for d in decided]


def counted(engine: PolicyEngine, *names: str) -> tuple[int, ...]:
    return tuple(engine.counts[name] for name in names)


def worker_pid(engine: PolicyEngine) -> int:
    assert engine._worker is not None
    return engine._worker.pid


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def ticks_of(pid: int) -> int:
    """Processor time that a process took in user space."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        os.sched_yield()


def test_a_decision_says_why_and_which_and_is_unique(engine: PolicyEngine) -> None:
    first, second = engine.evaluate(DENIED), engine.evaluate(DENIED)

    assert (first.decision, first.reasons, first.rule) == ("deny", ("because",), "busted.decision")
    assert first.error is None
    assert first.file == "inline"
    assert first.id != second.id
    assert first.milliseconds is not None
    assert engine.counts == dict.fromkeys(COUNTS, 0) | {"decisions": 2}


def test_a_batch_is_answered_in_its_order(
    engine: PolicyEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "MAX_BATCH_EVENTS", 7)
    monkeypatch.setattr(engine_module, "MAX_BATCH_BYTES", 50)
    events = [DENIED if n % 3 else AUDITED for n in range(40)]

    decided = engine.evaluate_batch(events)

    assert decisions(decided) == ["deny" if n % 3 else "audit" for n in range(40)]
    assert engine.evaluate_batch([]) == []


def test_a_decision_that_takes_too_long_is_the_one_for_errors() -> None:
    with PolicyEngine(POLICY, on_error="allow", deadline_seconds=1.0) as engine:
        decided = engine.evaluate_batch([AUDITED, HANGING, DENIED])

        assert decisions(decided) == ["audit", "allow", "deny"]
        assert decided[1].error == "no decision in time"
        assert counted(engine, "timeouts", "restarts", "decisions") == (1, 1, 2)


def test_a_worker_that_is_killed_while_it_decides_costs_one_decision(engine: PolicyEngine) -> None:
    pid = worker_pid(engine)
    first = ticks_of(pid)
    with ThreadPoolExecutor(1) as pool:
        deciding = pool.submit(engine.evaluate_batch, [DENIED, HANGING, AUDITED, DENIED])
        # Nothing but the second event takes a tick of the processor's time.
        until(lambda: ticks_of(pid) >= first + 5)
        os.kill(pid, signal.SIGKILL)
        decided = deciding.result(SECONDS)

    assert [d.error for d in decided] == [None, "the policy worker crashed", None, None]
    assert decisions(decided) == ["deny", "deny", "audit", "deny"]
    assert counted(engine, "crashes", "restarts") == (1, 1)


def test_a_worker_that_crashes_in_native_code_is_replaced(engine: PolicyEngine) -> None:
    decided = engine.evaluate_batch([CRASHING, AUDITED])

    assert [d.error for d in decided] == ["the policy worker crashed", None]
    assert counted(engine, "crashes", "memory", "restarts") == (1, 0, 1)


def test_a_worker_may_take_only_so_much_memory() -> None:
    with PolicyEngine(POLICY, deadline_seconds=SECONDS, memory_bytes=32 << 20) as engine:
        decided = engine.evaluate_batch([GREEDY, AUDITED])

        assert [d.error for d in decided] == ["the policy worker crashed", None]
        assert counted(engine, "memory", "crashes", "restarts") == (1, 0, 1)


def test_a_worker_that_grew_is_replaced_before_it_fails(
    engine: PolicyEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "EVENTS_BETWEEN_LOOKS", 2)
    first = worker_pid(engine)
    engine._memory = 0
    large = b'{"text": "' + b"x" * (4 << 20) + b'"}'

    decided = engine.evaluate_batch([large, large])

    assert decisions(decided) == ["audit", "audit"]
    engine._memory = engine_module.MEMORY_BYTES
    assert engine.evaluate(AUDITED).error is None
    assert worker_pid(engine) != first
    assert counted(engine, "memory", "restarts") == (1, 1)


def test_after_some_failures_nothing_waits_for_a_new_worker(
    engine: PolicyEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "FIRST_PAUSE_SECONDS", 1000.0)
    monkeypatch.setattr(engine_module, "MAX_PAUSE_SECONDS", 1000.0)

    decided = engine.evaluate_batch([CRASHING] * 5)

    assert [d.error for d in decided[3:]] == ["the policy worker is down"] * 2
    assert decisions(decided) == ["deny"] * 5
    assert counted(engine, "crashes", "unavailable", "restarts") == (3, 2, 2)

    engine._not_before = 0.0
    assert engine.evaluate(AUDITED).error is None


def test_an_answer_between_failures_ends_the_counting_of_them(engine: PolicyEngine) -> None:
    for _ in range(5):
        assert engine.evaluate(CRASHING).error == "the policy worker crashed"
        assert engine.evaluate(AUDITED).error is None


@pytest.mark.parametrize("garbage", [b"\xff" * 8, b"\x01\0\0\0\xc1"])
def test_a_worker_that_talks_nonsense_is_replaced(engine: PolicyEngine, garbage: bytes) -> None:
    assert engine._worker is not None
    ours, theirs = socket.socketpair()
    engine._worker.connection.close()
    engine._worker.connection = ours
    with theirs:
        theirs.sendall(garbage)
        told = engine.evaluate(DENIED)

    assert (told.decision, told.error) == ("deny", "the policy worker told nonsense")
    assert counted(engine, "garbage", "restarts") == (1, 0)
    assert engine.evaluate(AUDITED).error is None


def test_garbage_from_the_engine_ends_a_worker_and_nothing_else(engine: PolicyEngine) -> None:
    assert engine._worker is not None
    engine._worker.connection.sendall(b"\xff" * 64)

    assert engine.evaluate(DENIED).error == "the policy worker crashed"
    assert engine.evaluate(DENIED).reasons == ("because",)


def test_a_lost_nursery_is_replaced(engine: PolicyEngine) -> None:
    assert engine._nursery is not None
    engine._nursery._process.kill()
    engine._nursery._process.wait()

    # The worker lives on; only when it is to be replaced, the nursery is missed.
    assert engine.evaluate(AUDITED).error is None
    assert engine.evaluate(CRASHING).error == "the policy worker crashed"
    until(lambda: engine.evaluate(DENIED).reasons == ("because",))


def test_where_no_process_can_be_started_every_event_is_answered(
    engine: PolicyEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine._nursery is not None
    engine._nursery._process.kill()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    decided = engine.evaluate_batch([CRASHING, DENIED, AUDITED])

    assert decisions(decided) == ["deny"] * 3
    assert counted(engine, "unavailable") == (2,)


def test_an_event_may_be_anything(engine: PolicyEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "MAX_EVENT_BYTES", 1 << 20)
    events = [b"", b"{", b"\xff\xfe", b"[]", b"null", b"[" * 5000, b'"' + b"x" * (1 << 20) + b'"']

    decided = engine.evaluate_batch([*events, AUDITED])

    assert [d.error is None for d in decided] == [
        False,
        False,
        False,
        True,
        True,
        False,
        False,
        True,
    ]
    assert counted(engine, "crashes", "errors") == (0, 5)


@pytest.mark.parametrize(("kind", "policy"), OUTCOMES)
def test_a_confined_worker_can_tell_what_goes_wrong(kind: str, policy: str, tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text(f"package busted\n{policy}\n")
    (tmp_path / "data.yaml").write_text("some: [thing]\n")
    with PolicyEngine(tmp_path, on_error="audit", deadline_seconds=SECONDS) as engine:
        told = engine.evaluate(b'{"x": 1, "y": 1, "word": "w"}')

        assert told.decision == "audit"
        assert (told.error or "").startswith("a.rego:")
        assert counted(engine, "errors", "crashes", "restarts") == (1, 0, 0)


def test_what_no_file_says_anything_of_is_counted() -> None:
    silent = 'package busted\ndecision := "deny" if input.deny'
    with PolicyEngine(silent, deadline_seconds=SECONDS) as engine:
        told = engine.evaluate(AUDITED)

        assert (told.decision, told.rule, told.error) == ("allow", None, None)
        assert counted(engine, "undefined", "decisions") == (1, 1)


def test_a_policy_that_cannot_be_loaded_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text("package busted\ndecision := nosuch(1)\n")

    with pytest.raises(PolicyError) as raised:
        PolicyEngine(tmp_path)

    assert str(raised.value) == "a.rego:2:13: error: there is no function nosuch here"
    (tmp_path / "a.rego").unlink()
    with pytest.raises(PolicyError, match="no policy here"):
        PolicyEngine(tmp_path)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(PolicyError, match=r"pip install 'busted\[policy\]'"):
        PolicyEngine(POLICY)


def test_a_changed_directory_is_loaded_anew_and_a_wrong_one_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.rego"
    file.write_text('package busted\ndecision := "audit"\n')
    with PolicyEngine(tmp_path, deadline_seconds=SECONDS) as engine:
        assert engine.reload_if_changed() is None
        assert engine.counts["reloads"] == 0

        file.write_text('package busted\ndecision := "deny"\n# longer\n')
        assert engine.reload_if_changed() is None
        assert engine.evaluate(AUDITED).decision == "deny"

        file.write_text("package busted\ndecision := ((\n")
        assert (engine.reload_if_changed() or "").startswith("a.rego:3:1: error:")
        assert engine.evaluate(AUDITED).decision == "deny"
        assert engine.reload_if_changed() is None, "told once"

        file.unlink()
        assert "no policy here" in (engine.reload_if_changed() or "")
        assert engine.evaluate(AUDITED).decision == "deny"

        (tmp_path / "data.json").write_text('{"said": "allow"}')
        file.write_text("package busted\ndecision := data.said\n")
        assert engine.reload_if_changed() is None
        assert engine.evaluate(AUDITED).decision == "allow"
        assert counted(engine, "reloads", "refused_reloads") == (2, 2)


def test_events_are_judged_while_a_new_policy_is_compiled(tmp_path: Path) -> None:
    file = tmp_path / "a.rego"
    file.write_text(POLICY)
    with PolicyEngine(tmp_path, deadline_seconds=SECONDS) as engine, ThreadPoolExecutor(1) as pool:
        # Rules are tried when they are loaded: this one takes its time.
        slow = "x := count([1 | some a in many; some b in many; a < b; b < a])"
        file.write_text(f"{POLICY}\nmany := numbers.range(1, 1200)\n{slow}\n")
        compiling = pool.submit(engine.reload_if_changed)
        answered = 0
        while not compiling.done():
            assert engine.evaluate(DENIED).error is None
            answered += 1

        assert compiling.result(SECONDS) is None
        assert answered > 10
        assert engine.versions == {"a.rego": "v1"}

        # Nor does what is slow to try keep a worker from being replaced.
        assert engine.evaluate(CRASHING).error is not None
        assert engine.evaluate(DENIED).error is None


def test_the_old_policy_is_loaded_again_after_a_crash(tmp_path: Path) -> None:
    file = tmp_path / "a.rego"
    file.write_text(POLICY)
    with PolicyEngine(tmp_path, deadline_seconds=SECONDS) as engine:
        file.write_text("nonsense")
        assert engine.reload_if_changed()
        assert engine.evaluate(CRASHING).error
        assert engine.evaluate(DENIED).reasons == ("because",)


def test_a_worker_holds_nothing_that_it_could_do_harm_with(engine: PolicyEngine) -> None:
    status = Path(f"/proc/{worker_pid(engine)}/status").read_text()
    limits = Path(f"/proc/{worker_pid(engine)}/limits").read_text()
    values = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)

    if os.geteuid() == 0:
        assert values["Uid"].split() == ["65534"] * 4
        assert values["Groups"].split() == []
        assert int(values["CapEff"], 16) == int(values["CapPrm"], 16) == 0
    for limit in ("Max open files", "Max file size", "Max core file size", "Max processes"):
        (line,) = [text for text in limits.splitlines() if text.startswith(limit)]
        assert line.split()[-3:-1] == ["0", "0"] or line.split()[-2:] == ["0", "0"], line


def test_closing_ends_all_processes(engine: PolicyEngine) -> None:
    pid = worker_pid(engine)
    assert engine._nursery is not None
    process = engine._nursery._process

    engine.close()

    assert process.returncode is not None
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_worker_whose_engine_is_gone_ends_by_itself(engine: PolicyEngine) -> None:
    assert engine._worker is not None
    pid = worker_pid(engine)
    ask = Ask((HANGING,), 0.0)
    engine._worker.connection.sendall(frame(ask))
    engine._worker.connection.close()

    # Its parent buries it when it is asked to.
    until(lambda: state_of(pid) == "Z")


def test_threads_may_ask_at_once(engine: PolicyEngine) -> None:
    with ThreadPoolExecutor(4) as pool:
        events = [[DENIED, AUDITED] * 5, [AUDITED, DENIED] * 5] * 10
        decided = list(pool.map(engine.evaluate_batch, events))

    assert [decisions(d) for d in decided] == [
        ["deny" if event == DENIED else "audit" for event in batch] for batch in events
    ]
    assert len({d.id for batch in decided for d in batch}) == 200


def test_what_is_evaluated_is_a_json_object_of_any_size(engine: PolicyEngine) -> None:
    large = json.dumps({"deny": True, "text": "x" * (8 << 20)}).encode()

    assert engine.evaluate(large).reasons == ("because",)


def test_the_worker_evaluates_without_what_events_rule_out_once_they_come_often() -> None:
    text = "\n".join(
        (
            "package busted",
            'default decision := "audit"',
            'decision := "deny" if count(reasons) > 0',
            *(f'reasons contains "{n}" if input.action.model == "model-{n}"' for n in range(50)),
        )
    )
    with PolicyEngine(text) as engine:
        for _ in range(40):
            for model, decision in (("model-7", "deny"), ("other", "audit")):
                event = b'{"action": {"model": "%s"}}' % model.encode()
                decided = engine.evaluate(event)
                assert (decided.decision, decided.error) == (decision, None)
                assert decided.reasons == (("7",) if decision == "deny" else ())
        assert engine.counts["decisions"] == 80
        assert engine.counts["crashes"] == 0


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_what_ends_or_reloads_the_monitor_reaches_its_processes_and_costs_no_decision(
    sent: signal.Signals, engine: PolicyEngine
) -> None:
    """A service manager and a terminal send it to all of them at once."""
    assert engine._nursery is not None
    pid = worker_pid(engine)
    for process in (pid, engine._nursery._process.pid):
        os.kill(process, sent)

    assert decisions(engine.evaluate_batch([AUDITED, DENIED])) == ["audit", "deny"]
    # The nursery still knows its worker, and forks another one.
    os.kill(pid, signal.SIGKILL)
    engine.evaluate(AUDITED)
    assert decisions([engine.evaluate(DENIED)]) == ["deny"]
    assert counted(engine, "crashes", "restarts", "unavailable") == (1, 1, 0)
