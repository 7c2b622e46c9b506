"""Sessions of browsers, and how the server takes and gives them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from busted.ui.server import Access
from busted.ui.sessions import COOKIE, SESSION_SECONDS, Sessions, cookie, is_of_own_page, word_of
from tests.unit.agent.test_socket_server import serve
from tests.unit.ui.serving import Api, api

TOKEN = "t" * 40
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def test_a_session_ends_by_itself_when_it_is_closed_and_when_there_are_too_many() -> None:
    sessions = Sessions(max_sessions=2)
    first = sessions.begin(now=0.0)
    assert sessions.has(first, SESSION_SECONDS - 1.0)
    assert not sessions.has(first, float(SESSION_SECONDS))
    second, third = sessions.begin(now=1.0), sessions.begin(now=1.0)
    assert len({first, second, third}) == 3
    assert [sessions.has(word, 2.0) for word in (first, second, third)] == [False, True, True]
    sessions.end(second)
    assert [sessions.has(word, 2.0) for word in (second, third)] == [False, True]
    assert not any(sessions.has(word, 2.0) for word in ("", "\udc80", third[:-1], third + "x"))


@pytest.mark.parametrize(
    ("sent", "word"),
    [
        ([], None),
        ([b"a=b"], None),
        ([b"busted_session=w"], "w"),
        ([b"a=b; busted_session=w=; c"], "w="),
        ([b"a=b", b"busted_session=w"], "w"),
        ([b"busted_session="], None),
        ([b"busted_session=w; busted_session=x"], None),
        ([b"xbusted_session=w"], None),
        ([b"busted_session=\xff"], "\xff"),
    ],
)
def test_a_request_carries_one_word_or_none(sent: list[bytes], word: str | None) -> None:
    assert word_of([(b"cookie", value) for value in sent]) == word


@pytest.mark.parametrize(
    ("method", "headers", "own"),
    [
        ("GET", {}, True),
        ("GET", {"sec-fetch-site": "same-origin"}, True),
        ("GET", {"sec-fetch-site": "none"}, True),
        ("GET", {"sec-fetch-site": "same-site"}, False),
        ("GET", {"sec-fetch-site": "cross-site"}, False),
        ("POST", {}, False),
        ("POST", {"origin": "http://h:1"}, True),
        ("POST", {"origin": "http://h:2"}, False),
        ("POST", {"origin": "null"}, False),
        ("POST", {"origin": "http://h:1", "sec-fetch-site": "same-site"}, False),
        ("DELETE", {"origin": "https://h:1"}, True),
    ],
)
def test_other_pages_use_no_session(method: str, headers: dict[str, str], own: bool) -> None:
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert is_of_own_page(method, [(b"host", b"h:1"), *sent]) is own


def test_a_cookie_is_out_of_reach_of_scripts_and_other_sites() -> None:
    given = cookie("w", is_secure=False)
    assert given == f"{COOKIE}=w; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"
    assert cookie("w", is_secure=True) == f"{given}; Secure"
    assert "Max-Age=0;" in cookie("", is_secure=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    place: Path = tmp_path_factory.mktemp("monitor")
    with serve(place) as served, api(served.path, place / "none", Access(token=TOKEN)) as running:
        yield running


def signed_in(server: Api, **headers: str) -> dict[str, str]:
    """Sign in, and return the headers of the server's own page from then on."""
    status, got, _ = server.ask("/session", {**BEARER, **headers}, "POST")
    assert status == 204
    word, _, _ = got["set-cookie"].partition(";")
    return {"Cookie": word, "Origin": f"http://127.0.0.1:{server.port}"}


def test_who_signed_in_needs_no_token_until_they_sign_out(server: Api) -> None:
    assert server.ask("/health")[0] == 401
    assert server.ask("/session", BEARER)[2] == b'{"session":false}'
    page = signed_in(server)
    assert server.ask("/health", page)[0] == 200
    assert server.ask("/session", page)[2] == b'{"session":true}'
    status, got, _ = server.ask("/session", page, "DELETE")
    assert (status, "Max-Age=0" in got["set-cookie"]) == (204, True)
    assert server.ask("/health", page)[0] == 401


def test_a_session_begins_with_the_token_and_a_word_of_the_servers(server: Api) -> None:
    chosen = {"Cookie": f"{COOKIE}=chosen"}
    assert server.ask("/session", chosen, "POST")[0] == 401
    page = signed_in(server, **chosen)
    assert page["Cookie"] != chosen["Cookie"]
    assert server.ask("/health", chosen)[0] == 401
    assert server.ask("/session", page, "POST")[0] == 403
    again = signed_in(server, Cookie=page["Cookie"])
    assert server.ask("/health", page)[0] == 401
    assert server.ask("/health", again)[0] == 200


def test_a_page_elsewhere_on_this_host_does_nothing_with_a_session(server: Api) -> None:
    page = signed_in(server)
    other = {**page, "Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}
    assert server.ask("/health", other)[0] == 403
    assert server.ask("/session", other, "DELETE")[0] == 403
    assert server.ask("/health", page)[0] == 200


def test_a_wrong_token_is_no_better_for_a_session(server: Api) -> None:
    wrong = {**signed_in(server), "Authorization": "Bearer x"}
    assert server.ask("/health", wrong)[0] == 401


def test_without_a_token_there_are_no_sessions(tmp_path: Path) -> None:
    with serve(tmp_path) as served, api(served.path, tmp_path / "none") as running:
        assert running.ask("/session")[2] == b'{"session":false}'
        assert running.ask("/session", BEARER, "POST")[0] == 403
