"""The API over HTTP, with a real history and the monitor's real socket behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import validate

from busted.events import Action, Event, to_json
from busted.sinks.history import History
from busted.ui.routes import ROUTES
from busted.ui.server import Access, is_named
from tests.e2e.deadline import until
from tests.unit.agent.test_socket_server import Served, made, put, serve
from tests.unit.sinks.samples import PROMPT, RESPONSE, TOOL_CALL
from tests.unit.sinks.test_history import at
from tests.unit.ui.serving import Api, api

SAID: tuple[Action, ...] = (PROMPT, TOOL_CALL, RESPONSE) * 4
EVENTS = [
    at(n, action, n, exchange_id=f"e{n // 3}", session_id=f"s{n // 6}")
    for n, action in enumerate(SAID)
]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("history") / "history.db"
    with closing(History(path)) as history:
        history.add(EVENTS)
    return path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("monitor")) as served:
        yield served


@pytest.fixture(scope="module")
def server(served: Served, history: Path) -> Iterator[Api]:
    with api(served.path, history) as server:
        until(lambda: server.feed.connected, "the stream is there")
        yield server


def ids(events: list[Any]) -> list[int]:
    return [int(event["id"]) for event in events]


def test_pages_go_from_the_newest_to_the_oldest_and_miss_none(server: Api) -> None:
    seen: list[int] = []
    cursor = ""
    while True:
        page = server.get(f"/events?limit=5{cursor}")
        seen += ids(page["events"])
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == list(range(11, -1, -1))


def test_events_are_what_standard_output_has(server: Api) -> None:
    assert server.get("/events?limit=1")["events"] == [json.loads(to_json(EVENTS[-1]))]
    assert server.get(f"/events/{EVENTS[3].id}") == json.loads(to_json(EVENTS[3]))


def test_a_filter_chooses(server: Api) -> None:
    assert ids(server.get("/events?type=ToolCall&session=s0")["events"]) == [4, 1]
    assert ids(server.get("/events?text=capital&exchange=e1")["events"]) == [3]
    since, until_ = EVENTS[2].time, EVENTS[4].time
    assert ids(server.get(f"/events?since={since}&until={until_}")["events"]) == [3, 2]


def test_exchanges_and_sessions_are_told_in_order(server: Api) -> None:
    assert ids(server.get("/exchanges/e1")["events"]) == [3, 4, 5]
    assert ids(server.get("/sessions/s1?limit=2")["events"]) == [10, 11]
    sessions = server.get("/sessions")["sessions"]
    assert [(one["session"], one["events"]) for one in sessions] == [("s1", 6), ("s0", 6)]
    assert sessions[0]["first_seen"] == EVENTS[6].time
    assert sessions[0]["newest"]["id"] == EVENTS[11].id


def test_what_there_is_is_counted(server: Api) -> None:
    totals = server.get("/totals?group=type&minutes=1000000")["totals"]
    assert [(one["type"], one["events"]) for one in totals] == [
        ("Prompt", 4),
        ("Response", 4),
        ("ToolCall", 4),
    ]
    (model,) = [one for one in server.get("/providers")["models"] if one["model"]]
    assert (model["events"], model["input"], model["output"]) == (8, 72, 28)
    (process,) = server.get("/processes")["processes"]
    assert process["events"] == 12
    assert server.get("/mcp")["tools"] == []


def test_what_the_monitor_says_is_passed_on(server: Api) -> None:
    assert server.get("/agents")["agents"] == [{"id": "1"}, {"id": "2"}]
    health = server.get("/health")
    assert health["monitor"] == {"version": "1"}
    assert health["stream"] == {"connected": True, "gaps": 0}
    assert health["history"] == {"readable": True}


def test_every_route_is_there_and_as_the_document_says(server: Api) -> None:
    document = server.get("/openapi.json")
    validate(document)
    ids_ = {"/events/{id}": EVENTS[0].id, "/exchanges/{id}": "e0", "/sessions/{id}": "s0"}
    # Their double knows no more of them.
    others = {"/agents/{id}", "/coverage", "/stream"}
    for route in ROUTES:
        if route.path in others or route.body:  # these have tests of their own
            continue
        path = route.path.replace("{id}", ids_.get(route.path, ""))
        status, headers, body = server.ask(path)
        assert status == 200, (path, body)
        assert headers["content-type"].partition(";")[0] in route.media
        required = route.schema.get("required", ())
        assert set(required) <= set(json.loads(body) if required else ())


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/events?limit=0", 400),
        ("/events?colour=red", 400),
        ("/events?limit=1&limit=2", 400),
        ("/events?cursor=x", 400),
        ("/events?cursor=1-" + "9" * 50, 400),
        ("/events?text=" + "x" * 9000, 414),
        ("/events/none", 404),
        ("/exchanges/none", 404),
        ("/sessions/none", 404),
        ("/agents/nobody", 404),
        ("/nothing", 404),
        ("/../../etc/passwd", 404),
    ],
)
def test_what_cannot_be_answered_says_why(server: Api, path: str, status: int) -> None:
    code, headers, body = server.ask(path)
    assert code == status
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["error"]


def test_nothing_can_be_changed(server: Api) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert server.ask("/events", method=method)[0] == 405


def test_without_monitor_or_history_it_says_so_and_lives(tmp_path: Path) -> None:
    with api(tmp_path / "none.sock", tmp_path / "none.db") as server:
        for path in ("/events", "/totals", "/export", "/agents", "/coverage"):
            status, _, body = server.ask(path)
            assert status == 503, path
            assert "none." in json.loads(body)["error"]
        health = server.get("/health")
        assert health["monitor"] is None
        assert not health["stream"]["connected"]
        assert not health["history"]["readable"]


@pytest.mark.parametrize("format", ["jsonl", "har", "markdown"])
def test_exports_are_files(server: Api, format: str) -> None:
    status, headers, body = server.ask(f"/export?format={format}&session=s0")
    assert status == 200
    assert "attachment" in headers["content-disposition"]
    if format == "jsonl":
        assert ids([json.loads(line) for line in body.splitlines()]) == list(range(6))
    elif format == "har":
        assert len(json.loads(body)["log"]["entries"]) == 2
    else:
        assert body.count(b"capital of France") == 2


# The live stream


def next_event(events: Iterator[tuple[str, Any]]) -> tuple[str, Any]:
    return next(pair for pair in events if pair[0] in ("event", "gap"))


def test_every_client_gets_every_event_and_one_stream_comes_from_the_monitor(
    server: Api, served: Served
) -> None:
    with ExitStack() as opened:
        streams = [opened.enter_context(server.stream()) for _ in range(20)]
        assert {next(stream)[0] for stream in streams} == {"retry"}
        new = [made(n) for n in range(1000, 1010)]
        put(served.recent, *new)
        for stream in streams:
            got = [next_event(stream) for _ in new]
            assert got == [("event", json.loads(to_json(one))) for one in new]
        # Those that ask for a moment are gone soon.
        until(lambda: served.server.clients == 1, "one stream is left")


def test_a_stream_has_what_its_filter_chooses(server: Api, served: Served) -> None:
    with server.stream("?type=ToolCall") as stream:
        next(stream)
        put(served.recent, made(2000), made(2001, TOOL_CALL), made(2002), made(2003, TOOL_CALL))
        assert [int(next_event(stream)[1]["id"]) for _ in range(2)] == [2001, 2003]


def test_who_comes_back_goes_on_behind_what_was_seen(server: Api, served: Served) -> None:
    put(served.recent, *(made(n) for n in range(3000, 3005)))
    until(lambda: server.feed.recent.number_of(made(3004).id) is not None, "it came")
    with server.stream(headers={"Last-Event-ID": made(3001).id}) as stream:
        assert [int(next_event(stream)[1]["id"]) for _ in range(3)] == [3002, 3003, 3004]


def test_what_is_no_more_there_is_told_as_a_gap(server: Api) -> None:
    with server.stream(headers={"Last-Event-ID": "never-seen"}) as stream:
        kind, gap = next_event(stream)
    assert kind == "gap"
    assert gap["count"] is None
    assert gap["why"]


def test_a_monitor_that_was_away_is_told_as_a_gap_and_followed_again(tmp_path: Path) -> None:
    history = tmp_path / "none.db"
    with ExitStack() as later:
        with serve(tmp_path) as first:
            server = later.enter_context(api(first.path, history))
            until(lambda: server.feed.connected, "the stream is there")
            put(first.recent, made(1))
            until(lambda: server.feed.recent.newest == 1, "it came")
        until(lambda: not server.feed.connected, "it is gone")
        stream = later.enter_context(server.stream())
        next(stream)
        with serve(tmp_path) as second:
            put(second.recent, made(2))
            assert next_event(stream)[0] == "gap"
            until(lambda: server.feed.connected, "the stream is there again")
            assert int(next_event(stream)[1]["id"]) == 2
        assert server.feed.gaps == 1


def test_a_monitor_that_still_knows_what_was_seen_leaves_no_gap(tmp_path: Path) -> None:
    with ExitStack() as later:
        with serve(tmp_path) as first:
            server = later.enter_context(api(first.path, tmp_path / "none.db"))
            until(lambda: server.feed.connected, "the stream is there")
            put(first.recent, made(1), made(2))
            until(lambda: server.feed.recent.newest == 2, "they came")
        until(lambda: not server.feed.connected, "it is gone")
        with serve(tmp_path, recent=first.recent) as second:
            put(second.recent, made(3))
            until(lambda: server.feed.recent.newest == 3, "it came")
        assert [entry.id for entry in server.feed.recent.all()] == [made(n).id for n in (1, 2, 3)]
        assert server.feed.gaps == 0


# Strangers


def test_a_page_with_a_name_of_its_own_learns_nothing(server: Api) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1"):
        assert server.ask("/events", {"Host": host})[0] in (400, 421)
    for host in ("localhost", "localhost:9", "127.0.0.1", "127.0.0.9", "[::1]:80"):
        assert server.ask("/events", {"Host": host})[0] == 200


def test_a_name_is_the_servers_where_the_operator_said_so() -> None:
    assert is_named(b"busted.example:443", {"busted.example"})
    assert is_named(b"BUSTED.example", {"busted.example"})
    assert not is_named(b"other.example", {"busted.example"})
    assert not is_named(b"user@", {"busted.example"})
    assert not is_named(b"\xff", {"busted.example"})


def test_the_token_opens_and_nothing_else_does(served: Served, history: Path) -> None:
    token = "t" * 32
    with api(served.path, history, Access(token=token)) as server:
        for wrong in (None, "", token, f"Basic {token}", f"Bearer {token}x", "Bearer", "\xff"):
            headers = {} if wrong is None else {"Authorization": wrong}
            for path in ("/events", "/stream", "/openapi.json", "/nothing"):
                status, _, body = server.ask(path, headers)
                assert status == 401, (wrong, path)
                assert b"Paris" not in body
        assert server.ask("/events", {"Authorization": f"Bearer {token}"})[0] == 200


def test_a_proxy_names_one_user_and_only_with_the_token(served: Served, history: Path) -> None:
    token = "t" * 32
    access = Access(token=token, user_header="X-Forwarded-User")
    with api(served.path, history, access) as server:
        assert server.ask("/events", {"X-Forwarded-User": "ann"})[0] == 401
        bearer = {"Authorization": f"Bearer {token}"}
        assert server.ask("/events", bearer)[0] == 200
        assert server.ask("/events", bearer | {"X-Forwarded-User": "ann"})[0] == 200
        two = bearer | {"X-Forwarded-User": "ann", "x-forwarded-user": "bob"}
        status, _, body = server.ask("/events", two)
        assert (status, b"twice" in body) == (400, True)


def test_browsers_are_told_to_keep_it_to_themselves(server: Api) -> None:
    for path in ("/events", "/nothing", "/events?limit=x"):
        _, headers, _ = server.ask(path, {"Origin": "https://evil.example"})
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert not [name for name in headers if name.startswith("access-control-")]


def test_what_was_said_cannot_leave_its_place_in_the_stream(server: Api, served: Served) -> None:
    text = "a\n\ndata: {}\r\n\r\nevent: gap\u2028\x00<script>"
    hostile: Event = made(4000, msgspec.structs.replace(PROMPT, user_message=text))
    with server.stream() as stream:
        next(stream)
        put(served.recent, hostile)
        kind, told = next_event(stream)
    assert (kind, told["action"]["user_message"]) == ("event", text)


def test_openapi_paths_are_served_below_the_version() -> None:
    assert all(re.fullmatch(r"(/[\w.]+|/{id})+", route.path) for route in ROUTES)
