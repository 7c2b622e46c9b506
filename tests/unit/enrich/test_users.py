"""Names of users, from made-up passwd files."""

from __future__ import annotations

from pathlib import Path

import pytest

from busted.enrich import users
from busted.enrich.users import UserFacts, Users
from busted.events import Coverage, Event, Process

LINES = (
    "root:x:0:0:root:/root:/bin/bash\n"
    "alice:x:1000:1000:,,,:/home/alice:/bin/sh\n"
    "shadow-alice:x:1000:1000::/srv/other:/bin/sh\n"
    "+::::::\nbroken:x:two:2::/:\nshort:x:3\n"
)


def event(uid: int | None) -> Event:
    process = Process(pid=7, name="node", uid=uid)
    return Event(schema=1, id="1", time="", host="host", process=process, action=Coverage())


@pytest.fixture
def passwd(tmp_path: Path) -> Path:
    path = tmp_path / "passwd"
    path.write_text(LINES)
    return path


@pytest.mark.parametrize(
    ("uid", "user"), [(0, "root"), (1000, "alice"), (2, None), (3, None), (4711, None)]
)
def test_an_event_tells_what_the_host_calls_its_user(
    passwd: Path, uid: int, user: str | None
) -> None:
    assert Users(passwd)(event(uid)).process.user == user


def test_an_event_without_a_uid_is_left_as_it_is(passwd: Path) -> None:
    assert Users(passwd)(event(None)) == event(None)


def test_a_user_that_comes_later_is_known_once_the_file_changed(passwd: Path) -> None:
    known = Users(passwd)
    assert known(event(1001)).process.user is None

    passwd.write_text(LINES + "bob:x:1001:1001::/home/bob:/bin/sh\n")
    assert known(event(1001)).process.user is None, "looked up once"
    known.changed()
    assert known(event(1001)).process.user == "bob"


def test_homes_are_those_of_the_file(passwd: Path) -> None:
    known = Users(passwd)
    assert known.home(1000) == Path("/home/alice")
    assert known.home(4711) is None


def test_each_user_is_told_once_and_that_gives_the_same_events(passwd: Path) -> None:
    found: list[UserFacts] = []
    live, replayed = Users(passwd, found.append), Users(None)
    told = [live(event(uid)) for uid in (1000, 1000, 4711, 4711)]
    for facts in found:
        replayed.learn(facts)

    assert found == [UserFacts(1000, "alice"), UserFacts(4711)]
    assert [replayed(event(uid)) for uid in (1000, 1000, 4711, 4711)] == told


def test_without_the_file_nobody_has_a_name(tmp_path: Path) -> None:
    assert Users(tmp_path / "passwd")(event(0)).process.user is None


def test_only_so_many_users_are_remembered(passwd: Path) -> None:
    found: list[UserFacts] = []
    known = Users(passwd, found.append, max_users=2)
    for uid in (0, 1, 2, 0):
        known(event(uid))
    assert [facts.uid for facts in found] == [0, 1, 2, 0]


def test_a_file_of_any_size_is_read_up_to_its_limit(
    passwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "MAX_PASSWD_BYTES", len(LINES.splitlines()[0]) + 1)
    assert Users(passwd)(event(0)).process.user == "root"
    assert Users(passwd)(event(1000)).process.user is None
