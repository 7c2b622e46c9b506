"""`busted identities` over a store that a monitor could have written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from busted.identity.store import IdentityStore
from busted.identity.tracker import IdentityTracker
from tests.identity.measure import agents
from tests.identity.scenarios import SCENARIOS, claude, played
from tests.unit.cli.command import run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("identities") / "identities.db"
    shelf = IdentityStore(path)
    tracker = IdentityTracker(agents.recognise, agents.names, shelf)
    for _, event in (*SCENARIOS["spoofed"](), *SCENARIOS["twelve_configurations"]()):
        tracker.observe(event)
    shelf.write(tracker.changes())
    shelf.close()
    return path


def shown(store: Path, *arguments: str) -> str:
    finished = run("identities", "--store", store, *arguments)
    assert (finished.returncode, finished.stderr) == (0, b"")
    return finished.stdout.decode()


def failed(*arguments: str | Path) -> tuple[int, str]:
    finished = run("identities", *arguments)
    assert finished.stdout == b""
    return finished.returncode, finished.stderr.decode()


def test_all_identities_are_listed_the_last_seen_first(store: Path) -> None:
    lines = shown(store).splitlines()
    told = [json.loads(line) for line in shown(store, "--format", "json").splitlines()]

    assert len(lines) == len(told) == 15
    times = [one["last_seen"] for one in told]
    assert times == sorted(times, reverse=True)
    assert [line.endswith("does not fit") for line in lines] == ["findings" in one for one in told]


def test_one_is_shown_with_what_it_did_and_with_whom(store: Path) -> None:
    text = shown(store, "claude-code", "--timeline", "--graph")

    assert text.startswith("claude-code (")
    assert "run by: uid:1000" in text
    assert "ToolCall weather" in text
    assert "call of weather: nothing was seen to come of it" in text


def test_json_has_the_timeline_and_the_graph_only_where_they_are_asked_for(store: Path) -> None:
    plain = json.loads(shown(store, "curl", "--format", "json"))
    whole = json.loads(shown(store, "claude-code", "--timeline", "--graph", "--format", "json"))

    assert "timeline" not in plain
    assert [finding["kind"] for finding in plain["findings"]] == ["user_agent"]
    assert {entry["kind"] for entry in whole["timeline"]} >= {"Prompt", "Response", "ToolCall"}
    assert [call["tool"] for call in whole["unseen"]] == ["weather", "population"] * 3
    assert whole["narrative"].startswith("claude-code, run by uid:1000 in 3 processes, has made 6")


def test_a_graph_is_drawn_with_names(tmp_path: Path) -> None:
    path = tmp_path / "identities.db"
    shelf = IdentityStore(path)
    tracker = IdentityTracker(agents.recognise, agents.names, shelf)
    for _, event in played(claude(capture="mcp_auto", agent=None)):
        tracker.observe(event)
    shelf.write(tracker.changes())

    assert shown(path, "--format", "mermaid") == (
        "flowchart LR\n"
        '    n0["claude-code"]\n'
        '    n1["MCP server at localhost"]\n'
        '    n2["MCP server places"]\n'
        "    n0 -->|uses x3| n1\n"
        "    n0 -->|uses x3| n2\n"
    )
    assert shown(path, "claude-code", "--format", "mermaid") == shown(path, "--format", "mermaid")


def test_one_is_forgotten_and_the_others_stay(tmp_path: Path, store: Path) -> None:
    copy = tmp_path / "identities.db"
    copy.write_bytes(store.read_bytes())
    copy.chmod(0o600)

    assert shown(copy, "curl", "--forget").startswith("forgot curl (")
    assert len(shown(copy).splitlines()) == 14
    assert failed("--store", copy, "curl")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nobody",), 1, "no identity in"),
        (("agents.serve --config=/etc/agents/billing.yaml", "--forget"), 1, "no identity in"),
        (("--forget",), 2, "Say which one"),
        (("--timeline",), 2, "Say which one"),
    ],
)
def test_an_identity_that_is_none_is_an_error_that_says_so(
    store: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert failed("--store", store, *arguments)[0] == code
    assert message in failed("--store", store, *arguments)[1]


def test_an_id_that_may_be_several_is_an_error_that_names_them(store: Path) -> None:
    told = [json.loads(line) for line in shown(store, "--format", "json").splitlines()]
    firsts = [one["id"][0] for one in told]
    twice = next(first for first in firsts if firsts.count(first) > 1)

    code, message = failed("--store", store, twice)
    assert code == 1
    assert "give more of the id" in message


def test_no_store_is_an_error_that_says_how_to_make_one(tmp_path: Path) -> None:
    code, message = failed("--store", tmp_path / "none.db")

    assert code == 1
    assert "busted monitor --identity-store" in message
    assert not (tmp_path / "none.db").exists()


def test_a_damaged_store_is_told_and_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "identities.db"
    path.write_bytes(b"no database" * 100)

    finished = run("identities", "--store", path)
    assert (finished.returncode, finished.stdout) == (0, b"")
    assert b"is damaged" in finished.stderr
    assert path.with_name("identities.db.damaged-1").read_bytes() == b"no database" * 100
