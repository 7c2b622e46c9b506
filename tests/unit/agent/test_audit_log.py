import json
import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from busted.agent.audit_check import verify
from busted.agent.audit_log import FIRST_PREVIOUS, AuditError, AuditLog, decided, head_path
from busted.classifier.canaries import Canary
from busted.classifier.pii import Scanner
from busted.classifier.pii_rules import CustomRule
from busted.events import Action, Event, PolicyDecision, Process
from tests.unit.sinks.samples import (
    ACTIONS,
    MCP_REQUEST,
    MCP_RESPONSE,
    NETWORK,
    PROCESS_EXEC,
    PROMPT,
    TOOL_CALL,
    event,
)

SECRET = "sk-" + "a1B2c3D4e5" * 4
TIME, HOST = "2026-11-22T16:58:44.880000000Z", "host"


def judged(action: Action = PROMPT, *reasons: str, number: int = 0) -> Event:
    return msgspec.structs.replace(
        event(action),
        id=str(number),
        policy=PolicyDecision(decision="deny", reasons=reasons, rule="busted.decision", id="d1"),
    )


def open_log(path: Path, *, time: str = TIME, **options: Any) -> AuditLog:
    return AuditLog(path, time, HOST, **options)


def write(path: Path, count: int = 3, *, time: str = TIME, **options: int) -> list[Path]:
    """Write a log with so many decisions, each flushed, and return its files in order."""
    log = open_log(path, time=time, **options)
    for number in range(count):
        log.write(judged(number=number))
        log.flush()
    log.close()
    assert log.lost == 0
    return files(path)


def files(path: Path) -> list[Path]:
    return [*sorted(path.parent.glob(f"{path.name}.0*")), path]


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def test_each_line_carries_the_hash_of_the_one_before(path: Path) -> None:
    write(path)

    lines = entries(path)
    assert [line["number"] for line in lines] == [1, 2, 3, 4]
    assert [line["type"] for line in lines] == ["start", "decision", "decision", "decision"]
    hashes = [line["hash"] for line in lines]
    assert [line["previous"] for line in lines] == [FIRST_PREVIOUS, *hashes[:-1]]


def test_only_its_owner_can_read_it(path: Path) -> None:
    path.touch(mode=0o644)
    write(path)

    for file in (path, head_path(path)):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_line_tells_who_did_what_and_what_policy_said(path: Path) -> None:
    log = open_log(path)
    said = judged(TOOL_CALL, "no shell")
    log.write(said)
    log.close()

    line = entries(path)[-1]

    assert line["event"] == said.id
    assert line["time"] == said.time
    assert line["process"]["pid"] == said.process.pid
    assert (line["action"], line["subject"]) == ("ToolCall", "get_weather")
    assert (line["decision"], line["reasons"], line["id"]) == ("deny", ["no shell"], "d1")
    assert line["rule"] == "busted.decision"


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_no_line_holds_what_was_said(path: Path, action: Action) -> None:
    said = judged(action)
    log = open_log(path)
    log.write(
        msgspec.structs.replace(
            said, process=msgspec.structs.replace(said.process, argv=("Paris",))
        )
    )
    log.close()

    assert entries(path)[-1]["action"] == type(action).__name__
    for content in (b"capital", b"Paris", b"22 degrees"):
        assert content not in path.read_bytes()


def test_a_secret_in_a_reason_or_a_name_is_redacted(path: Path) -> None:
    said = judged(msgspec.structs.replace(PROMPT, model=SECRET), f"the key {SECRET} was sent")
    said = msgspec.structs.replace(
        said, process=Process(pid=1, name="curl", exe=f"/{SECRET}", argv=(SECRET,), agent=SECRET)
    )
    log = open_log(path)
    log.write(said)
    log.close()

    assert SECRET not in path.read_text()
    assert "the key <openai_key:" in entries(path)[-1]["reasons"][0]


def test_what_only_the_operators_rules_and_canaries_find_is_redacted_too(path: Path) -> None:
    scanner = Scanner(
        custom=[CustomRule(kind="employee_id", pattern="EMP-[0-9]{6}")],
        canaries=[Canary(name="harbour", value="lantern-58213")],
    )
    log = AuditLog(path, TIME, HOST, scanner)
    log.write(judged(msgspec.structs.replace(PROMPT, model="EMP-493817"), "lantern-58213 was sent"))
    log.close()

    assert "<employee_id:" in entries(path)[-1]["model"]
    assert "<canary:" in entries(path)[-1]["reasons"][0]


def test_an_event_without_a_decision_has_no_line(path: Path) -> None:
    log = open_log(path)
    log.write(event(PROMPT))
    log.close()

    assert [line["type"] for line in entries(path)] == ["start"]


def test_a_reason_is_bounded_and_so_is_their_number(path: Path) -> None:
    entry = decided(judged(PROMPT, *["x" * 10_000] * 1000))

    assert entry is not None
    assert len(entry.reasons) == 16
    assert {len(reason) for reason in entry.reasons} == {300}


def test_the_next_start_continues_the_chain(path: Path) -> None:
    write(path)
    write(path)

    assert verify([path]).damages == []
    assert verify([path]).last.number == 8
    assert [line["type"] for line in entries(path)].count("start") == 2


def test_a_full_file_is_continued_in_the_next(path: Path) -> None:
    found = write(path, count=10, max_file_bytes=1500)

    assert len(found) > 2
    first = entries(found[1])[0]
    assert (first["type"], first["file"]) == ("file", found[0].name)
    assert first["previous"] == entries(found[0])[-1]["hash"]
    assert found[1].name == f"audit.log.{first['number']:012}"
    checked = verify(found)
    assert checked.damages == []
    assert checked.lines == checked.last.number == 10 + len(found)


def test_a_line_cut_by_a_crash_is_taken_away_and_the_start_says_so(path: Path) -> None:
    write(path)
    with open(path, "ab") as file:
        file.write(b'{"number":5,"previous"')

    assert verify([path]).cut == path
    assert verify([path]).damages == []
    write(path, count=0)

    last = entries(path)[-1]
    assert (last["type"], last["number"], last["cut"]) == ("start", 5, 22)
    assert verify([path]).damages == []
    assert verify([path]).cut is None


def test_a_first_line_cut_by_a_crash_is_taken_away_as_well(path: Path) -> None:
    *_, last = write(path, count=10, max_file_bytes=1500)
    number = entries(last)[0]["number"]
    written = last.read_bytes()
    # As if the machine had died within the first line of a new file.
    links_before = f"{number - 1:020d} {entries(last)[0]['previous']}\n"
    head_path(path).write_text(links_before)
    last.write_bytes(written[:40])

    write(path, count=0)

    (start,) = entries(path)
    assert (start["number"], start["cut"]) == (number, 40)
    assert verify(files(path)).damages == []


def test_a_crash_between_two_files_does_not_break_the_chain(path: Path) -> None:
    write(path)
    former = path.with_name("audit.log.000000000001")
    path.rename(former)

    write(path)

    assert verify([former, path]).damages == []
    assert entries(path)[0]["number"] == 5


def test_a_file_that_was_taken_away_is_told_by_the_start(path: Path) -> None:
    *_, last = write(path, count=10, max_file_bytes=1500)
    kept = entries(files(path)[-2])[-1]["number"]
    written = entries(last)[-1]["number"]
    path.unlink()

    write(path, count=0)

    (start,) = entries(path)
    assert (start["number"], start["missing"]) == (written + 1, written - kept)
    assert [damage.line for damage in verify([path]).damages] == [1]


def test_lines_that_were_taken_away_while_it_stood_still_are_told_by_the_start(path: Path) -> None:
    write(path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))

    write(path, count=0)

    assert entries(path)[-1]["missing"] == 2
    (damage,) = verify([path]).damages
    assert (damage.line, damage.what) == (
        3,
        "2 lines are missing before it, and were when the monitor started",
    )


def test_a_last_line_that_was_replaced_while_it_stood_still_is_told_by_the_start(
    path: Path, tmp_path: Path
) -> None:
    write(path)
    other = tmp_path / "other"
    write(other, time="2026-11-23T00:00:00.000000000Z")
    path.write_bytes(other.read_bytes())

    write(path, count=0)

    assert entries(path)[-1]["changed"] is True
    assert [damage.line for damage in verify([path]).damages] == [5]


@pytest.mark.parametrize(
    "content",
    [b"something else\n", b"{}\n", b'{"number":1}\n', b"notes", b'{"number":1', b"x" * 2_000_000],
)
def test_a_file_that_is_no_audit_log_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o644)

    with pytest.raises(AuditError, match=r"audit\.log"):
        open_log(path)
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_head_that_is_another_file_is_left_alone(path: Path) -> None:
    head_path(path).write_text("my notes")

    with pytest.raises(AuditError, match="it holds something else"):
        open_log(path)
    assert head_path(path).read_text() == "my notes"


def test_two_monitors_do_not_write_the_same_log(path: Path) -> None:
    first = open_log(path)

    with pytest.raises(AuditError, match="another monitor does"):
        open_log(path)
    first.close()
    open_log(path).close()


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(AuditError):
        open_log(path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_pipe_is_refused(path: Path) -> None:
    os.mkfifo(path)

    with pytest.raises(AuditError, match="it is no regular file"):
        open_log(path)


def test_what_cannot_be_written_is_counted_and_the_log_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(path)
    log.write(judged(number=1))
    log.flush()

    def full(file: int, data: memoryview) -> int:
        if len(data) < 50:
            raise OSError(28, "No space left on device")
        return written(file, data[:-20])  # half a line, as on a disk that fills up

    written = os.write
    monkeypatch.setattr(os, "write", full)
    for number in (2, 3):
        log.write(judged(number=number))
    log.flush()
    assert log.lost == 2
    monkeypatch.undo()
    log.write(judged(number=4))
    log.close()

    lines = entries(path)
    assert [line["type"] for line in lines] == ["start", "decision", "lost", "decision"]
    assert lines[2]["count"] == 2
    assert verify([path]).damages == []


def test_a_log_that_cannot_be_rotated_goes_on_and_tries_again_later(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(old: Path, new: Path) -> None:
        raise PermissionError(13, "Permission denied")

    log = open_log(path, max_file_bytes=1500)
    monkeypatch.setattr(os, "rename", refused)
    for number in range(10):
        log.write(judged(number=number))
        log.flush()
    assert len(caplog.records) == 2
    monkeypatch.undo()
    for number in range(10):
        log.write(judged(number=number))
        log.flush()
    log.close()

    assert log.lost == 0
    assert len(files(path)) > 1
    assert verify(files(path)).damages == []


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (MCP_REQUEST, "read_file"),
        (MCP_RESPONSE, "tools/call"),
        (NETWORK, "api.openai.com"),
        (msgspec.structs.replace(NETWORK, name=None), "203.0.113.1 port 443"),
        (PROCESS_EXEC, "/usr/bin/git"),
        (PROMPT, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, msgspec.Struct) else "",
)
def test_a_line_tells_what_it_was_done_with(action: Action, told: str | None) -> None:
    entry = decided(judged(action))

    assert entry is not None
    assert entry.subject == told
