"""Showing what was redacted: the real outputs, socket, audit log and server; no kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from busted.agent.audit_check import verify
from busted.agent.audit_log import AuditLog, Revealed
from busted.agent.coverage import Row
from busted.agent.identities import Told
from busted.agent.local_socket import Answers, kept
from busted.agent.outputs import Outputs
from busted.agent.socket_messages import Asker, IdentitiesRequest
from busted.agent.status import KernelStatus, Status
from busted.events import Event
from busted.sinks.recent import Recent
from busted.ui.server import Access
from tests.unit.agent.test_socket_server import serve
from tests.unit.sinks.samples import PROMPT, event
from tests.unit.ui.serving import Api, api

SECRET = "anna" + "@" + "example.org"
TOKEN = "t" * 40
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


def said(id: str = "01EVENT") -> Event:
    prompt = msgspec.structs.replace(PROMPT, user_message=f"Write to {SECRET}")
    return msgspec.structs.replace(event(prompt), id=id)


class Double:
    """A monitor with a real audit log; `broken` is one whose disk is full."""

    def __init__(self, log: AuditLog, *, broken: bool = False) -> None:
        self._log, self._broken = log, broken

    def status(self) -> Status:
        kernel = KernelStatus(release="", way="", buffer="", fill=None, features={})
        return Status(
            version="1", host="h", started="now", libraries=(), unreadable={}, left_out={},
            lost={}, kernel=kernel, programs=(), identities=0,
        )  # fmt: skip

    def tell_identities(self, request: IdentitiesRequest) -> list[Told]:
        return []

    def tell_coverage(self) -> list[Row]:
        return []

    def reveal(self, event: str, asker: Asker) -> bool:
        if self._broken:
            return False
        entry = Revealed(
            event=event, time="now", host="h", uid=asker.uid, pid=asker.pid, by=asker.by
        )
        return self._log.reveal(entry)


class Host:
    """A monitor that has told of one event, and its server."""

    def __init__(self, api: Api, log: Path, outputs: Outputs, originals: Recent | None) -> None:
        self.api, self.log, self.outputs, self.originals = api, log, outputs, originals

    def revealed(self) -> list[Revealed]:
        lines = self.log.read_bytes().splitlines()
        found = [one for one in lines if b'"type":"reveal"' in one]
        return [msgspec.json.decode(one, type=Revealed) for one in found]


@contextmanager
def host(
    directory: Path, *, events: int = 10, token: str | None = TOKEN, broken: bool = False
) -> Iterator[Host]:
    with ExitStack() as opened:
        log = AuditLog(directory / "audit.log", "now", "h")
        opened.callback(log.close)
        recent, originals = Recent(), kept(events) if events else None
        outputs = Outputs([], "redacted", recent=recent, originals=originals)
        answers = Answers(Double(log, broken=broken), "redacted", dict, originals)
        served = opened.enter_context(serve(directory, recent=recent, answers=answers))
        outputs.write(said())
        access = Access(token=token, user_header="X-Forwarded-User")
        asked = opened.enter_context(api(served.path, directory / "no.db", access))
        yield Host(asked, directory / "audit.log", outputs, originals)


@pytest.fixture
def revealing(tmp_path: Path) -> Iterator[Host]:
    with host(tmp_path) as running:
        yield running


def test_an_event_is_shown_as_it_was_said_and_the_log_says_to_whom(revealing: Host) -> None:
    status, shown = revealing.api.post("/events/01EVENT/reveal", {}, **AUTHORIZED)
    assert (status, shown["action"]["user_message"]) == (200, f"Write to {SECRET}")
    (entry,) = revealing.revealed()
    assert (entry.event, entry.uid, entry.pid) == ("01EVENT", os.geteuid(), os.getpid())
    assert entry.by == "HTTP with the token, from 127.0.0.1"
    signed_in = AUTHORIZED | {"X-Forwarded-User": "ann@company.example"}
    assert revealing.api.post("/events/01EVENT/reveal", {}, **signed_in)[0] == 200
    entry = revealing.revealed()[-1]
    assert entry.by == "ann@company.example, as a proxy at 127.0.0.1 says"
    assert SECRET.encode() not in revealing.log.read_bytes()
    assert verify([revealing.log]).damages == []


@pytest.mark.parametrize(("events", "told"), [(10, b'"reveals":true'), (0, b'"reveals":false')])
def test_the_server_says_whether_events_can_be_revealed(
    tmp_path: Path, events: int, told: bytes
) -> None:
    with host(tmp_path, events=events) as running:
        assert told in running.api.ask("/meta", AUTHORIZED)[2]


def test_where_it_was_not_asked_for_nothing_is_kept_and_nothing_shown(tmp_path: Path) -> None:
    with host(tmp_path, events=0) as running:
        assert running.originals is None
        status, answer = running.api.post("/events/01EVENT/reveal", {}, **AUTHORIZED)
        assert (status, running.revealed()) == (403, [])
        assert "--reveal" in answer["error"]


def test_what_the_log_does_not_take_is_not_shown(tmp_path: Path) -> None:
    with host(tmp_path, broken=True) as running:
        status, answer = running.api.post("/events/01EVENT/reveal", {}, **AUTHORIZED)
        assert (status, SECRET in str(answer)) == (403, False)


def test_without_a_token_of_the_server_nobody_is_shown_anything(tmp_path: Path) -> None:
    with host(tmp_path, token=None) as running:
        status, answer = running.api.post("/events/01EVENT/reveal", {})
        assert (status, running.revealed()) == (403, [])
        assert "--token-file" in answer["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (AUTHORIZED | {"Origin": "http://evil.example"}, 403),
        (AUTHORIZED | {"Origin": "http://127.0.0.1:1"}, 403),
        (AUTHORIZED | {"Origin": "null"}, 403),
        (AUTHORIZED | {"Content-Type": "text/plain"}, 415),
        ({}, 401),
    ],
)
def test_other_pages_forms_and_strangers_are_refused(
    revealing: Host, headers: dict[str, str], status: int
) -> None:
    assert revealing.api.post("/events/01EVENT/reveal", {}, **headers)[0] == status
    assert revealing.revealed() == []


def test_the_page_of_the_server_itself_may_ask(revealing: Host) -> None:
    own = AUTHORIZED | {"Origin": f"http://127.0.0.1:{revealing.api.port}"}
    assert revealing.api.post("/events/01EVENT/reveal", {}, **own)[0] == 200


def test_it_is_asked_by_post_alone(revealing: Host) -> None:
    assert revealing.api.ask("/events/01EVENT/reveal", AUTHORIZED)[0] == 405


def test_an_event_that_is_kept_no_more_is_not_there(tmp_path: Path) -> None:
    with host(tmp_path, events=1) as running:
        assert running.originals is not None
        running.originals.put("01LATER", b"{}")
        assert running.api.post("/events/01EVENT/reveal", {}, **AUTHORIZED)[0] == 404
        assert running.revealed() == []
