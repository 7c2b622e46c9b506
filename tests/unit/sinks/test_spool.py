import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from busted.sinks.channel import WrongOutput
from busted.sinks.spool import ROW_BYTES, Spool, SpoolError
from tests.requirements import ROOT
from tests.unit.sinks.peers import fill, items, spool_file

LARGE = 1 << 20


def ids(spool: Spool) -> list[str]:
    return [item.id for _, item in spool.head(1000, LARGE)]


def remove(spool: Spool, count: int) -> int:
    return spool.remove(number for number, _ in spool.head(count, LARGE))


def test_what_was_put_is_there_after_a_restart_in_its_order(tmp_path: Path) -> None:
    spool = Spool(spool_file(tmp_path), LARGE)
    put = items(3, 1, 2)
    spool.put(put)
    remove(spool, 1)
    spool.close()

    again = Spool(spool_file(tmp_path), LARGE)
    assert (len(again), [item for _, item in again.head(10, LARGE)]) == (2, put[1:])
    again.close()


def test_what_was_put_is_there_after_a_kill(tmp_path: Path) -> None:
    program = """
import os, pathlib, signal, sys
from busted.sinks.spool import Spool
from tests.unit.sinks.peers import items
spool = Spool(pathlib.Path(sys.argv[1]), 1 << 20)
spool.put(items(*range(50)))
spool.put(items(50))
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(spool_file(tmp_path))], env=environment
    )
    assert done.returncode == -signal.SIGKILL

    spool = Spool(spool_file(tmp_path), LARGE)
    assert ids(spool) == [f"event-{number}" for number in range(51)]
    spool.close()


def test_beyond_its_limit_the_oldest_are_dropped_and_counted(tmp_path: Path) -> None:
    size = len(items(0)[0].event) + ROW_BYTES
    spool = Spool(spool_file(tmp_path), 3 * size)

    assert spool.put(items(1, 2)) == 0
    assert spool.put(items(3, 4, 5)) == 2
    assert ids(spool) == ["event-3", "event-4", "event-5"]
    spool.close()
    again = Spool(spool_file(tmp_path), 3 * size)
    assert again.put(items(6)) == 1  # the limit holds for what was found, too
    assert (ids(again), len(again)) == (["event-4", "event-5", "event-6"], 3)
    again.close()


def test_what_is_too_old_is_dropped_and_counted(tmp_path: Path) -> None:
    spool = Spool(spool_file(tmp_path), LARGE)
    spool.put(items(1, 2))

    assert (spool.drop_older(1.7e9), len(spool)) == (0, 2)
    assert (spool.drop_older(1.7e9 + 1), len(spool)) == (2, 0)
    spool.close()


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    spool = Spool(spool_file(tmp_path), LARGE)
    spool.put(items(1))

    modes = {
        path.name: path.stat().st_mode & 0o777 for path in spool_file(tmp_path).parent.iterdir()
    }
    assert modes == {"test.db": 0o600, "test.db-wal": 0o600}
    assert spool_file(tmp_path).parent.stat().st_mode & 0o777 == 0o700
    spool.close()


def test_two_monitors_cannot_use_one_spool(tmp_path: Path) -> None:
    spool = Spool(spool_file(tmp_path), LARGE)

    with pytest.raises(WrongOutput, match=r"locked.*spool=DIRECTORY"):
        Spool(spool_file(tmp_path), LARGE)
    spool.close()


def test_a_file_that_is_no_spool_is_put_aside(tmp_path: Path) -> None:
    spool_file(tmp_path).parent.mkdir()
    spool_file(tmp_path).write_bytes(b"no database " * 1000)
    spool = Spool(spool_file(tmp_path), LARGE)
    spool.put(items(1))

    assert ids(spool) == ["event-1"]
    aside = spool_file(tmp_path).with_name("test.db.unreadable")
    assert aside.read_bytes().startswith(b"no database")
    spool.close()


def test_a_full_disk_costs_nothing_that_was_put_and_brings_nothing_back(
    make_disk: Callable[[str], Path],
) -> None:
    disk = make_disk("2m")
    spool = Spool(disk / "test.db", 64 << 20)
    spool.put(items(*range(100)))
    ballast = fill(disk)

    with pytest.raises(SpoolError, match="full"):
        for start in range(100, 100_000, 100):
            spool.put(items(*range(start, start + 100)))
    count = len(spool)
    assert remove(spool, 60) == 60  # with or without room to do it
    assert (len(spool), ids(spool)[0]) == (count - 60, "event-60")
    ballast.unlink()
    assert remove(spool, 1) == 1
    assert (len(spool), ids(spool)[0]) == (count - 61, "event-61")
    spool.close()
    again = Spool(disk / "test.db", 64 << 20)
    assert len(again) == count - 61
    again.close()
