"""However the bytes of a stream are cut into records, and whichever are lost or come again."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from busted.records import ConnectionKey, Direction, TlsData
from busted.streams import Connections, Stream
from tests.property.chunks import cuts


def records(pieces: list[bytes]) -> list[TlsData]:
    position, found = 0, []
    for data in pieces:
        found.append(
            TlsData(
                key=ConnectionKey(1, 1, 1, 1),
                time_ns=0,
                direction=Direction.READ,
                position=position,
                call_bytes=len(data),
                call_offset=0,
                tid=1,
                data=data,
            )
        )
        position += len(data)
    return found


@given(cuts(st.binary(max_size=200)), st.lists(st.booleans()))
@example([b"ab", b"", b"cd"], [True, True])
@example([b"ab", b"cd", b""], [False, True])
def test_what_arrives_is_in_place_and_what_is_missing_is_counted(
    pieces: list[bytes], losses: list[bool]
) -> None:
    lost = {number for number, is_lost in enumerate(losses) if is_lost}
    stream, rebuilt, missing_in_all = Stream(), bytearray(), 0
    for number, record in enumerate(records(pieces)):
        if number not in lost:
            missing, data = stream.take(record)
            missing_in_all += missing
            rebuilt += bytes(missing) + data

    # What is lost at the very end, nobody can know of yet.
    while pieces and len(pieces) - 1 in lost:
        pieces = pieces[:-1]
    holes = [bytes(len(p)) if number in lost else p for number, p in enumerate(pieces)]
    assert bytes(rebuilt) == b"".join(holes)
    assert missing_in_all == sum(len(p) for number, p in enumerate(pieces) if number in lost)


@given(cuts(st.binary(max_size=200)))
def test_records_that_come_again_change_nothing(pieces: list[bytes]) -> None:
    stream, played = Stream(), records(pieces)
    for number, record in enumerate(played):
        assert stream.take(record) == (0, record.data)
        assert [stream.take(old) for old in played[: number + 1]] == [(0, b"")] * (number + 1)


@given(st.lists(st.integers(0, 20)), st.integers(1, 5))
def test_connections_never_exceed_their_limit_and_each_is_told_once(
    used: list[int], limit: int
) -> None:
    connections = Connections(limit)
    opened, told = 0, 0
    alive: set[int] = set()
    for number in used:
        opened += number not in alive
        _, forgotten = connections.find(ConnectionKey(1, 1, number, 1))
        alive.add(number)
        if forgotten is not None:
            told += 1
            alive.remove(forgotten.key.connection)
        assert {c.key.connection for c in connections} == alive
        assert len(connections) <= limit
    assert told == connections.forgotten == opened - len(alive)
