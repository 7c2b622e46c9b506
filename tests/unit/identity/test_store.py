from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from busted.identity import store as stores
from busted.identity.graph import Behaviour, Call, Link
from busted.identity.profile import Profile
from busted.identity.programs import Program
from busted.identity.similarity import PromptPrint
from busted.identity.store import MIGRATIONS, IdentityStore, Spent, StoreError
from busted.identity.timeline import Entry
from busted.identity.tracker import Changes, IdentityTracker
from tests.identity.measure import agents
from tests.identity.scenarios import Run, claude, played

LINK = Link("uses", "a", "MCP files", 1, 2, 3, 0.5)
BEHAVIOUR = Behaviour((Call("Bash", "x-1", 5, True, ()),))


def profile(id: str = "a", last_ns: int = 5) -> Profile:
    program = Program(f"python {id}.py", f"{id}.py", False)
    return Profile(id, f"{id}.py", 1, last_ns, program=program, prompt=PromptPrint(2**64 - 1, 7, 9))


def changes(*profiles: Profile) -> Changes:
    return Changes(
        {one.id: one for one in profiles},
        [(one.id, Entry(one.last_ns, "Prompt", "m", "1-a")) for one in profiles],
        {(LINK.kind, LINK.source, LINK.target): LINK},
        {one.id: BEHAVIOUR for one in profiles},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "identities.db"


def test_what_was_written_is_there_after_a_restart(path: Path) -> None:
    store = IdentityStore(path)
    store.write(changes(profile()))
    store.close()

    store = IdentityStore(path)
    assert store.by_id("a") == profile()
    assert list(store.by_keys(["program python a.py"])) == [profile()]
    assert list(store.by_keys([])) == list(store.by_keys(["program none"])) == []
    assert [entry.time_ns for entry in store.timeline("a")] == [5]
    assert store.links("a") == store.links() == (LINK,)
    assert store.behaviour("a") == BEHAVIOUR
    assert store.by_id("b") is None
    assert (store.links("b"), store.behaviour("b")) == ((), Behaviour())


def test_what_was_spent_is_kept_as_told_last_and_not_for_longer_than_asked(path: Path) -> None:
    old, first, second = (Spent("a", time, 1, 2, 3) for time in (1, 10, 20))
    other = Spent("b", 20, 1, 2, 3)
    store = IdentityStore(path)
    store.keep_spent([old, first, second, other], since_ns=0)
    again = msgspec.structs.replace(second, tokens=9)
    store.keep_spent([again], since_ns=10)
    store.close()

    store = IdentityStore(path)
    assert store.spent() == [first, again, other]
    store.forget("a")
    assert store.spent() == [other]
    store.close()


def test_only_its_owner_can_read_the_store(path: Path) -> None:
    store = IdentityStore(path)
    store.write(changes(profile()))

    files = list(path.parent.iterdir())
    assert len(files) > 1, "the log of SQLite is one of them"
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_an_identity_is_found_by_its_name_or_the_beginning_of_its_id(path: Path) -> None:
    store = IdentityStore(path)
    store.write(changes(profile("abc"), profile("abd")))

    assert [one.id for one in store.find("abc")] == ["abc"]
    assert [one.id for one in store.find("abd.py")] == ["abd"]
    assert len(store.find("ab")) == 2
    assert store.find("x") == []


def test_what_is_forgotten_leaves_nothing(path: Path) -> None:
    store = IdentityStore(path)
    store.write(changes(profile()))

    store.forget("a")

    assert list(store.identities()) == list(store.by_keys(["program python a.py"])) == []
    assert (store.timeline("a"), store.links(), store.behaviour("a")) == ((), (), Behaviour())


def test_the_quietest_make_room_only_when_there_are_too_many(path: Path) -> None:
    store = IdentityStore(path, max_identities=40)
    store.write(changes(*(profile(f"{i:02}", i) for i in range(40))))
    assert len(list(store.identities())) == 40

    store.write(changes(profile("new", 10**18)))

    kept = [one.id for one in store.identities()]
    assert kept[0] == "new"
    assert kept[1:] == [f"{i:02}" for i in range(39, 2, -1)]
    assert store.timeline("00") == ()


def test_the_oldest_entries_make_room_only_when_there_are_too_many(path: Path) -> None:
    store = IdentityStore(path, max_entries=20)
    for last_ns in range(25):
        store.write(changes(profile(last_ns=last_ns)))

    times = [entry.time_ns for entry in store.timeline("a")]
    assert times == list(range(25 - len(times), 25))
    assert 18 <= len(times) <= 20


def test_a_tracker_goes_on_where_the_last_one_ended(path: Path) -> None:
    ids, observed = set(), 0
    for run in range(2):
        store = IdentityStore(path)
        tracker = IdentityTracker(agents.recognise, agents.names, store, max_identities=2)
        for i in range(4):
            one = (
                claude(capture="mcp_auto", agent=None)
                if i == 3
                else Run(label="", capture="openai_tools", argv=("python3", f"{i}.py"), number=i)
            )
            for _, event in played(one, run * 600.0 + i):
                match = tracker.observe(event)
                ids |= {match.id} if match else set()
                observed += 1
            store.write(tracker.changes())
        store.close()

    store = IdentityStore(path)
    assert len(ids) == len(list(store.identities())) == 4
    assert {one.instances for one in store.identities()} == {2}
    assert sum(one.events for one in store.identities()) == observed
    assert {link.count for link in store.links()} == {6}
    calls = [store.behaviour(one.id).calls for one in store.identities() if one.tool_calls]
    assert {len(told) for told in calls} == {4}


@pytest.mark.parametrize("damage", [b"no database at all, but some text" * 9, b"\0" * 4096])
def test_a_damaged_file_is_put_aside_and_told_and_a_fresh_one_begun(
    path: Path, damage: bytes
) -> None:
    path.write_bytes(damage)
    IdentityStore(path).close()
    path.write_bytes(damage)

    store = IdentityStore(path)

    assert "damaged" in store.fresh_because
    assert str(path) in store.fresh_because
    aside = sorted(path.parent.glob("*.damaged-*"))
    assert [file.read_bytes() for file in aside] == [damage] * 2
    store.write(changes(profile()))
    assert store.by_id("a") == profile()


def test_a_page_that_was_overwritten_is_noticed(path: Path) -> None:
    store = IdentityStore(path)
    store.write(changes(*(profile(f"{i:03}") for i in range(200))))
    store.close()
    whole = bytearray(path.read_bytes())
    whole[4096 : len(whole) - 4096] = b"\xff" * (len(whole) - 8192)
    path.write_bytes(whole)

    assert "damaged" in IdentityStore(path).fresh_because


def test_a_store_of_the_first_version_is_brought_to_this_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(stores, "MIGRATIONS", MIGRATIONS[:1])
        IdentityStore(path).close()
    with sqlite3.connect(path) as database:
        row = ("a", 5, msgspec.json.encode(profile()))
        database.execute("INSERT INTO identities VALUES (?, ?, ?)", row)
    database.close()

    store = IdentityStore(path)

    assert store.by_id("a") == profile()
    store.write(changes(profile()))
    assert store.links() == (LINK,)


def test_a_store_of_a_later_version_is_left_alone(path: Path) -> None:
    IdentityStore(path).close()
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    database.close()
    before = path.read_bytes()

    with pytest.raises(StoreError, match="later version"):
        IdentityStore(path)
    assert path.read_bytes() == before


def test_a_place_where_no_file_can_be_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        IdentityStore(tmp_path / "none" / "identities.db")


def test_a_write_that_fails_changes_nothing_and_says_why(path: Path) -> None:
    store = IdentityStore(path)
    store.write(changes(profile()))
    other = sqlite3.connect(path)
    other.executescript("DROP TABLE behaviours")
    other.close()

    with pytest.raises(StoreError, match="cannot write"):
        store.write(changes(profile("b")))
    assert [one.id for one in store.identities()] == ["a"]
