"""Trying a policy against the history: the real worker, a real history, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest

from busted.agent import dashboard
from busted.events import PolicyDecision
from busted.sinks.history import History
from busted.ui.routes import MAX_POLICY
from tests.requirements import require
from tests.unit.sinks.samples import PROMPT, RESPONSE
from tests.unit.sinks.test_history import at
from tests.unit.ui.serving import Api, api

ALLOWED = PolicyDecision(decision="allow")
POLICY = """package busted

import rego.v1

default decision := "allow"

decision := "deny" if input.action.type == "Prompt"

reasons contains "no prompts" if input.action.type == "Prompt"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    require("regorus")
    directory = tmp_path_factory.mktemp("history")
    events = [at(n, PROMPT if n % 2 else RESPONSE, n) for n in range(8)]
    then = [msgspec.structs.replace(one, policy=ALLOWED) for one in events[:4]]
    with closing(History(directory / "history.db")) as history:
        history.add([*then, *events[4:]])
    with api(directory / "none", directory / "history.db") as running:
        yield running


def test_it_is_told_what_would_be_denied_and_what_changes(server: Api) -> None:
    status, told = server.post("/policy/try", {"policy": POLICY})
    assert status == 200
    assert told["problems"] == []
    assert (told["events"], told["counts"]) == (8, {"deny": 4, "allow": 4})
    (row,) = told["rows"]
    assert (row["decision"], row["count"], row["reasons"]) == ("deny", 4, ["no prompts"])
    (change,) = told["changes"]
    assert (change["before"], change["decision"], change["count"]) == ("allow", "deny", 2)
    assert (told["failed"], told["cut"]) == ({}, "")


def test_the_newest_events_are_taken(server: Api) -> None:
    assert server.post("/policy/try", {"policy": POLICY, "events": 3})[1]["events"] == 3


def test_what_is_wrong_with_it_is_told_with_its_place(server: Api) -> None:
    status, told = server.post("/policy/try", {"policy": "package busted\n\ndecision := "})
    assert status == 200
    (problem,) = told["problems"]
    assert (problem["line"], problem["severity"]) == (3, "error")
    assert problem["column"] > 0


def test_one_that_never_ends_is_ended(server: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "TRIAL_SECONDS", 0.0)
    told = server.post("/policy/try", {"policy": POLICY})[1]
    assert (told["events"], "time" in told["cut"]) == (0, True)


def test_no_more_is_judged_than_the_bound_in_bytes(
    server: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "TRIAL_BYTES", 1)
    assert server.post("/policy/try", {"policy": POLICY})[1]["events"] == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"policy": "x" * (MAX_POLICY + 1)}, 400),
        ({"policy": "x" * 300_000}, 413),
        ({"policy": POLICY, "events": 0}, 400),
        ({"policy": POLICY, "events": 10**6}, 400),
        ({"policy": POLICY, "more": 1}, 400),
        ({}, 400),
        ("text", 400),
    ],
)
def test_what_is_out_of_bounds_is_refused(server: Api, body: object, status: int) -> None:
    assert server.post("/policy/try", body)[0] == status


def test_another_page_may_not_try_one(server: Api) -> None:
    foreign = {"Origin": "http://evil.example"}
    assert server.post("/policy/try", {"policy": POLICY}, **foreign)[0] == 403
