"""Produced is delivered or counted: for every kind of record, and for what waits for a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from busted.kernel.client_random import RandomPath
from busted.records import LostPlace, TlsData
from tests.kernel.harness import Watched, objects

pytestmark = pytest.mark.needs("kernel", "attach cookie", "gcc")

IN_OBJECT = RandomPath(16)
PIECE = 16384


def test_every_record_that_a_tiny_ring_has_no_room_for_is_counted(tmp_path: Path) -> None:
    connections = 200
    with objects(tmp_path, IN_OBJECT, ring_bytes=16 << 10) as kernel:
        kernel.run(
            f"for _ in range({connections}):\n"
            "  one = make(0, random); library.SSL_set_tlsext_host_name(one, b'a.example')\n"
            "  say(one); library.SSL_free(one)"
        )
        kinds = Counter(type(record).__name__ for record in kernel.all())
        lost = kernel.programs.shared.lost()
    plain = ["TlsOpen", "TlsName", "TlsRandom", "TlsClose"]
    assert all(0 < kinds[kind] < connections for kind in (*plain, "TlsData"))
    # The end of the process is a record too; it comes when the ring is full.
    assert kinds["ProcessExit"] == 0
    assert lost == {
        LostPlace.RECORDS: len(plain) * connections + 1 - sum(kinds[kind] for kind in plain),
        LostPlace.RING_FULL: connections - kinds["TlsData"],
    }


# Sixteen pieces have room in this ring; half of it may come from whoever is undecided.
LIMITS = {"ring_bytes": 16 * PIECE, "undecided_bytes": 2 * PIECE}
PIECES = 40
FLOOD = f"then({PIECE})\nfor _ in range({PIECES}): write(1, b'f' * {PIECE})\n"


def said(kernel: Watched, number: int) -> list[TlsData]:
    """What the n-th connection of the script said."""
    return [r for r in kernel.data() if r.key.connection == 0x10000 + number * 64]


def missing(kernel: Watched) -> int:
    return PIECES * PIECE - sum(len(r.data) for r in said(kernel, 1))


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Watched]:
    with objects(tmp_path, IN_OBJECT, **LIMITS) as programs:
        yield programs


def test_a_flood_that_nobody_judged_leaves_room_for_others(kernel: Watched) -> None:
    others = f"for n in (2, 3): write(n, b'p' * {PIECE}); write(n, b'q' * {PIECE})\n"
    with kernel.started(FLOOD + others + "step()") as step:
        step.reached()
        assert kernel.programs.shared.lost() == {}
        assert [b"".join(r.data for r in said(kernel, n))[::PIECE] for n in (2, 3)] == [b"pq"] * 2
        assert len(said(kernel, 1)) in (7, 8)


def test_a_flood_of_ever_new_connections_leaves_room_for_others(kernel: Watched) -> None:
    flood = (
        f"then({PIECE})\nfor n in range(100, 103):\n  for _ in range(9): write(n, b'f' * {PIECE})\n"
    )
    with kernel.started(flood + f"write(1, b'p' * {PIECE}); step()") as step:
        step.reached()
        assert [len(r.data) for r in said(kernel, 1)] == [PIECE]
        # The first fills half, the second its two pieces, and past three quarters one is all.
        assert [len(said(kernel, n)) for n in (100, 101, 102)] == [8, 2, 2]
        assert kernel.programs.shared.lost() == {}


@pytest.mark.needs("perf buffer")
def test_with_perf_buffers_a_flood_waits_from_the_next_look_on(tmp_path: Path) -> None:
    # Programs cannot ask how full a perf buffer is: the reader tells them what it found, here
    # three of four pieces.
    one_processor = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    flood = f"then({PIECE})\nfor _ in range(3): write(1, b'f' * {PIECE})\nstep()\n"
    with (
        objects(tmp_path, IN_OBJECT, buffer="perf", ring_bytes=4 * PIECE) as kernel,
        kernel.started(one_processor + flood * 3) as step,
    ):
        step.reached()
        assert len(said(kernel, 1)) == 3
        step()
        step.reached()
        assert len(said(kernel, 1)) == 3
        # It looked again, and there was nothing.
        step()
        step.reached()
        assert [r.position for r in said(kernel, 1)[3:]] == [n * PIECE for n in (6, 7, 8)]
        assert kernel.programs.shared.lost() == {}


def test_what_was_held_back_is_lost_once_the_connection_is_wanted(kernel: Watched) -> None:
    with kernel.started(FLOOD + "step(); then(1); write(1, b'w'); step()") as step:
        step.reached()
        before = missing(kernel)
        assert before > PIECE
        kernel.programs.want(said(kernel, 1)[0].key)
        assert kernel.programs.shared.lost() == {}
        step()
        step.reached()
        # Its place in the stream tells the gap.
        assert said(kernel, 1)[-1].position == PIECES * PIECE
        assert kernel.programs.shared.lost() == {LostPlace.HELD_BACK: before}


def test_what_was_held_back_of_a_muted_connection_is_no_loss(kernel: Watched) -> None:
    with kernel.started(FLOOD + "step(); write(1, b'w'); free(1)") as step:
        step.reached()
        kernel.programs.mute(said(kernel, 1)[0].key)
        step()
    assert missing(kernel) > PIECE
    assert kernel.programs.shared.lost() == {}


@pytest.mark.parametrize("end", ["free(1)", ""], ids=["the connection", "the process"])
def test_what_was_held_back_is_lost_when_nobody_judged_until_the_end(
    kernel: Watched, end: str
) -> None:
    kernel.run(FLOOD + end)
    assert kernel.programs.shared.lost() == {LostPlace.HELD_BACK: missing(kernel)}


def test_nothing_is_held_back_of_a_wanted_connection(kernel: Watched) -> None:
    with kernel.started("then(1); write(1, b'w'); step()\n" + FLOOD) as step:
        step.reached()
        kernel.programs.want(said(kernel, 1)[0].key)
        step()
    # All sixteen pieces but for the headers of records.
    assert len(said(kernel, 1)) == 1 + 15
    assert kernel.programs.shared.lost() == {LostPlace.RING_FULL: missing(kernel) + 1}


def test_nothing_is_held_back_while_the_ring_is_read(kernel: Watched) -> None:
    with kernel.started(FLOOD.rstrip() + "; step()") as step:
        for _ in range(PIECES):
            step.reached()
            kernel.all()
            step()
    assert missing(kernel) == 0
    assert kernel.programs.shared.lost() == {}


def test_one_call_is_never_cut_by_what_undecided_connections_may_say(kernel: Watched) -> None:
    # An agent's first request in one write of ten pieces: that is more than half of the ring.
    kernel.run(f"then({10 * PIECE}); write(1, b'p' * {10 * PIECE})")
    assert sum(len(r.data) for r in said(kernel, 1)) == 10 * PIECE
    assert kernel.programs.shared.lost() == {}
