import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.agent import recording
from busted.agent.recording import (
    Frame,
    Header,
    LibraryFacts,
    Lost,
    ProcessFacts,
    RawRecord,
    RecordingError,
    RecordingWriter,
    read,
)
from busted.events import Library, Process

HEADER = Header(
    busted="0.1.0",
    host="host",
    wall_offset_ns=1_700_000_000_000_000_000,
    boot_offset_ns=5,
    seed=b"\x00seed\xff",
    settings={"max_call_bytes": 1 << 20},
)
FACTS = ProcessFacts(7, 99, Process(pid=7, name="python3", argv=("python3", "-c", "é")))
LIBRARY = LibraryFacts(1, Library(path="/usr/lib/libssl.so.3", kind="openssl", processes=2))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.recording"


def write(path: Path) -> bytes:
    writer = RecordingWriter(path, HEADER)
    writer.process(FACTS)
    writer.library(LIBRARY)
    writer.record(b"\x03raw")
    writer.record(b"")
    writer.lost({"ring_full": 2})
    writer.close()
    writer.close()
    return path.read_bytes()


FRAMES: list[Frame] = [
    FACTS,
    LIBRARY,
    RawRecord(b"\x03raw"),
    RawRecord(b""),
    Lost({"ring_full": 2}),
]


def test_what_is_written_is_read_back_in_order(path: Path) -> None:
    write(path)

    header, frames = read(path)

    assert header == HEADER
    assert list(frames) == FRAMES
    assert not frames.cut


def test_only_its_owner_can_read_it(path: Path) -> None:
    write(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_exists_is_never_replaced(path: Path) -> None:
    path.write_text("evidence")

    with pytest.raises(RecordingError, match=r"exists already; remove it or choose another name"):
        RecordingWriter(path, HEADER)

    assert path.read_text() == "evidence"


def test_a_planted_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    path.symlink_to(target)

    with pytest.raises(RecordingError):
        RecordingWriter(path, HEADER)

    assert not target.exists()


def test_flushed_frames_can_be_read_before_the_end(path: Path) -> None:
    writer = RecordingWriter(path, HEADER)
    writer.record(b"one")
    writer.flush()

    assert list(read(path)[1]) == [RawRecord(b"one")]
    writer.close()


def test_any_cut_gives_the_whole_frames_and_is_told(path: Path, tmp_path: Path) -> None:
    whole = write(path)
    ends, length = [], len(whole)
    header_end = whole.index(b"}", whole.index(b"settings")) + 2
    short = tmp_path / "short"

    for size in range(header_end, length):
        short.write_bytes(whole[:size])
        _, frames = read(short)
        got = list(frames)
        assert got == FRAMES[: len(got)]
        if not frames.cut:
            ends.append(len(got))

    assert ends == [0, 1, 2, 3, 4]


@given(st.data())
def test_garbage_is_read_or_told_never_another_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("garbage") / "a.recording"
    whole = bytearray(write(path))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)

    try:
        list(read(path)[1])
    except RecordingError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a recording"),
        (b"\x7fELF" + bytes(100), "is not a recording"),
        (recording.MAGIC + b"\x05", "damaged at offset 17: the header is cut"),
        (recording.MAGIC + b"\x00\x00\x00\x00\x02", "kind 2 stands where the header should"),
        (recording.MAGIC + b"\xff\xff\xff\xff\x01", "offset 17: a frame of 4,294,967,295 bytes"),
        (recording.MAGIC + b"\x02\x00\x00\x00\x01[]", "offset 17: not readable"),
    ],
)
def test_what_is_not_a_recording_is_told_with_its_place(
    path: Path, content: bytes, message: str
) -> None:
    path.write_bytes(content)

    with pytest.raises(RecordingError, match=message) as error:
        read(path)

    assert str(path) in str(error.value)


def test_an_unknown_frame_is_told_with_its_place(path: Path) -> None:
    whole = write(path)
    path.write_bytes(whole + b"\x00\x00\x00\x00\x63")

    with pytest.raises(RecordingError, match=f"offset {len(whole)}: unknown kind 99"):
        list(read(path)[1])


def test_a_newer_format_says_which_busted_reads_it(path: Path) -> None:
    newer = msgspec.structs.replace(HEADER, format=2, busted="9.0.0")
    RecordingWriter(path, newer).close()

    with pytest.raises(RecordingError, match=r"format 2.*reads 1; replay it with Busted 9\.0\.0"):
        read(path)


def test_a_missing_file_is_told(path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        read(path)
    with pytest.raises(RecordingError, match="Is a directory"):
        read(path.parent)
    with pytest.raises(RecordingError, match="No such file"):
        RecordingWriter(path / "no" / "where", HEADER)


def test_a_frame_over_the_limit_is_refused(path: Path) -> None:
    writer = RecordingWriter(path, HEADER)

    with pytest.raises(RecordingError, match="over the limit"):
        writer.record(bytes(recording.MAX_FRAME_BYTES + 1))

    writer.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a Linux device")
def test_a_full_disk_is_told_in_one_line(path: Path) -> None:
    writer = RecordingWriter(path, HEADER)
    writer._file.close()
    writer._file = open("/dev/full", "wb")  # noqa: SIM115

    writer.record(b"x")
    with pytest.raises(RecordingError, match="No space left on device"):
        writer.flush()
    with pytest.raises(RecordingError, match="No space left on device"):
        writer.close()
