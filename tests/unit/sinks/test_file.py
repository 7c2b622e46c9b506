import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from busted.sinks.channel import Unavailable, WrongOutput
from busted.sinks.file import FileChannel, FileSettings, tidy
from tests.unit.sinks.peers import event_json, items

LINES = [event_json(n).decode() for n in range(10)]


def send(path: Path, *batches: tuple[int, ...], settings: FileSettings | None = None) -> None:
    clock = [1.7e9]

    async def run() -> None:
        channel = FileChannel(str(path), settings or FileSettings(), now=lambda: clock[0])
        for batch in batches:
            await channel.send(items(*batch))
            clock[0] += 1
        await channel.close()

    asyncio.run(run())


def unpacked(data: bytes) -> bytes:
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(zstandard.FRAME_HEADER):
        return zstandard.ZstdDecompressor().stream_reader(data).read()
    return data


def rotated(path: Path) -> list[Path]:
    return sorted(p for p in path.parent.iterdir() if p != path)


def test_events_are_appended_a_line_each_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    send(path, (0, 1))
    send(path, (2,))

    assert path.read_text().splitlines() == LINES[:3]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_that_a_kill_cut_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(LINES[0][:5])
    send(path, (1,))

    assert path.read_text().splitlines() == [LINES[0][:5], LINES[1]]


@pytest.mark.parametrize("compress", ["none", "gzip", "zstd"])
def test_a_large_file_is_rotated_and_compressed_and_no_line_is_lost(
    tmp_path: Path, compress: str
) -> None:
    path = tmp_path / "events.jsonl"
    settings = FileSettings(rotate_bytes=2 * len(LINES[0]) + 2, compress=compress)  # type: ignore[arg-type]
    send(path, (0,), (1,), (2,), (3,), (4,), settings=settings)
    tidy(path, settings)

    texts = [unpacked(old.read_bytes()).decode() for old in rotated(path)]
    assert "".join(texts).splitlines() == LINES[:4]
    suffix = {"none": "Z", "gzip": ".gz", "zstd": ".zst"}[compress]
    assert all(old.name.endswith(suffix) for old in rotated(path))
    assert path.read_text().splitlines() == LINES[4:5]
    assert {old.stat().st_mode & 0o777 for old in rotated(path)} == {0o600}


def test_an_old_file_is_rotated_and_only_the_newest_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    (tmp_path / "events.jsonl.mine").touch()
    settings = FileSettings(rotate_seconds=0.5, keep=2, compress="none")
    send(path, *((n,) for n in range(6)), settings=settings)
    tidy(path, settings)

    kept = [old for old in rotated(path) if old.suffix != ".mine"]
    assert [old.read_text().strip() for old in kept] == LINES[3:5]
    assert (tmp_path / "events.jsonl.mine").exists()


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"

    async def run() -> None:
        channel = FileChannel(str(path), FileSettings())
        await channel.send(items(0))
        path.rename(tmp_path / "moved")
        await channel.send(items(1))
        await channel.close()

    asyncio.run(run())
    assert (tmp_path / "moved").read_text().splitlines() == LINES[:1]
    assert path.read_text().splitlines() == LINES[1:2]


def test_a_file_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(WrongOutput, match="No such file or directory"):
        FileChannel(str(tmp_path / "away" / "events.jsonl"), FileSettings())


def test_a_full_disk_takes_each_line_whole_or_not_at_all(make_disk: Callable[[str], Path]) -> None:
    path = make_disk("64k") / "events.jsonl"

    async def run() -> int:
        channel = FileChannel(str(path), FileSettings())
        taken = 0
        with pytest.raises(Unavailable, match="No space left"):
            while True:
                await channel.send(items(*range(taken, taken + 100)))
                taken += 100
        await channel.close()
        return taken

    taken = asyncio.run(run())
    assert path.read_bytes().splitlines() == [event_json(n) for n in range(taken)]
