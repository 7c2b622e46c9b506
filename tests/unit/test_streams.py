from __future__ import annotations

from itertools import permutations

import pytest

from busted.records import PLAIN_SOCKET, ConnectionKey, Direction, TlsData, TlsOpen
from busted.streams import MAX_EARLY_BYTES, Connection, Connections, Stream


def key(number: int, pid: int = 1) -> ConnectionKey:
    return ConnectionKey(pid=pid, start_ns=10, connection=number, since_ns=100)


def piece(position: int, data: bytes) -> TlsData:
    return TlsData(
        key=key(1),
        time_ns=0,
        direction=Direction.WRITE,
        position=position,
        call_bytes=len(data),
        call_offset=0,
        tid=1,
        data=data,
    )


def test_pieces_in_order_are_passed_on_as_they_are() -> None:
    stream = Stream()
    assert stream.take(piece(0, b"abc")) == (0, b"abc")
    assert stream.take(piece(3, b"de")) == (0, b"de")


def test_a_gap_is_told_to_the_byte() -> None:
    stream = Stream()
    stream.take(piece(0, b"abc"))
    assert stream.take(piece(10, b"d")) == (7, b"d")
    assert stream.take(piece(11, b"e")) == (0, b"e")


def test_bytes_missing_from_the_very_start_are_a_gap_too() -> None:
    assert Stream().take(piece(5, b"a")) == (5, b"a")


def test_repeated_bytes_are_passed_on_once() -> None:
    stream = Stream()
    stream.take(piece(0, b"abcde"))
    assert stream.take(piece(0, b"abcde")) == (0, b"")
    assert stream.take(piece(3, b"deFG")) == (0, b"FG")
    assert stream.take(piece(7, b"h")) == (0, b"h")


def test_an_empty_piece_tells_of_a_gap_before_it_once() -> None:
    stream = Stream()
    assert stream.take(piece(4, b"")) == (4, b"")
    assert stream.take(piece(4, b"a")) == (0, b"a")


def test_positions_beyond_32_bits_are_counted() -> None:
    stream = Stream()
    assert stream.take(piece(1 << 40, b"a")) == (1 << 40, b"a")
    assert stream.take(piece((1 << 40) + 1, b"b")) == (0, b"b")


def test_the_two_directions_are_counted_apart() -> None:
    connection, _ = Connections().find(key(1))
    connection.streams[Direction.WRITE].take(piece(0, b"abc"))
    assert connection.streams[Direction.READ].take(piece(0, b"xyz")) == (0, b"xyz")


def moved(direction: Direction, data: bytes, during_write: bool = False, of: int = 0) -> TlsData:
    """A piece of a call that moved `of` bytes, or just these."""
    return TlsData(key(1), 0, direction, 0, of or len(data), 0, 1, data, during_write)


def test_what_was_read_during_a_write_comes_after_the_last_piece_of_that_write() -> None:
    connection, _ = Connections().find(key(1))
    answers = [moved(Direction.READ, data, during_write=True) for data in (b"1", b"2")]
    head, tail = moved(Direction.WRITE, b"a", of=9), moved(Direction.WRITE, b"b")
    assert [connection.in_order(answer) for answer in answers] == [[], []]
    assert connection.in_order(head) == [head]
    assert connection.in_order(tail) == [tail, *answers]
    assert connection.in_order(tail) == [tail]


def test_a_read_after_a_write_that_moved_nothing_brings_what_waited() -> None:
    connection, _ = Connections().find(key(1))
    early, late = moved(Direction.READ, b"1", during_write=True), moved(Direction.READ, b"2")
    assert connection.in_order(early) == []
    assert connection.in_order(late) == [early, late]


def test_what_waits_for_a_write_is_bounded_and_none_of_it_is_lost() -> None:
    connection, _ = Connections().find(key(1))
    early = moved(Direction.READ, bytes(MAX_EARLY_BYTES), during_write=True)
    assert connection.in_order(early) == []
    another = moved(Direction.READ, b"2", during_write=True)
    assert connection.in_order(another) == [early, another]


def plain() -> Connection:
    """A connection without TLS."""
    connection, _ = Connections().find(key(1))
    connection.opened = TlsOpen(key(1), 0, 1, 1, 0, 0, 1, PLAIN_SOCKET, b"curl")
    return connection


def packet(position: int, data: bytes, direction: Direction = Direction.READ) -> TlsData:
    return TlsData(key(1), position, direction, position, len(data), 0, 1, data)


def taken(connection: Connection, *packets: TlsData) -> bytes:
    """What comes of packets, where `.` stands for each byte that is missing."""
    told = b""
    for one in packets:
        for record in connection.in_order(one):
            missing, data = connection.streams[record.direction].take(record)
            told += b"." * missing + data
    return told


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_without_tls_packets_come_in_any_order_and_their_bytes_in_theirs(
    order: tuple[int, ...],
) -> None:
    packets = [packet(0, b"ab"), packet(2, b"c"), packet(3, b"def"), packet(4, b"efg")]
    connection = plain()
    assert taken(connection, *(packets[i] for i in order)) == b"abcdefg"
    assert connection.waits_since_ns is None


def test_a_packet_that_waits_holds_up_its_own_direction_alone() -> None:
    connection = plain()
    assert taken(connection, packet(2, b"c"), packet(0, b"x", Direction.WRITE)) == b"x"
    assert taken(connection, packet(0, b"ab")) == b"abc"


def test_a_packet_that_never_comes_is_a_gap() -> None:
    connection = plain()
    late = [packet(9, b"j"), packet(5, b"f")]
    assert taken(connection, *late) == b""
    assert connection.waits_since_ns == 5
    assert [record.position for record in connection.release()] == [5, 9]

    full = packet(MAX_EARLY_BYTES, bytes(MAX_EARLY_BYTES))
    assert connection.in_order(full) == []
    assert connection.in_order(late[0]) == [late[0], full]


def test_a_connection_is_found_again() -> None:
    connections = Connections()
    first, _ = connections.find(key(1))
    second, forgotten = connections.find(key(1))
    assert second is first
    assert forgotten is None
    assert len(connections) == 1


def test_a_recycled_address_is_another_connection() -> None:
    connections = Connections()
    old, _ = connections.find(key(1))
    new, _ = connections.find(key(1)._replace(since_ns=200))
    assert new is not old


def test_the_connection_unused_for_longest_makes_room_and_is_told() -> None:
    connections = Connections(max_connections=2)
    first, _ = connections.find(key(1))
    second, _ = connections.find(key(2))
    connections.find(key(1))
    third, forgotten = connections.find(key(3))
    assert forgotten is second
    assert connections.forgotten == 1
    assert list(connections) == [first, third]


def test_however_many_come_no_more_than_the_limit_are_kept() -> None:
    connections = Connections(max_connections=3)
    told = [connections.find(key(number))[1] for number in range(10)]
    assert len(connections) == 3
    assert connections.forgotten == 7
    assert [c.key for c in told if c] == [key(number) for number in range(7)]


def test_a_closed_connection_is_gone_and_closing_again_says_so() -> None:
    connections = Connections()
    connection, _ = connections.find(key(1))
    assert connections.close(key(1)) is connection
    assert connections.close(key(1)) is None
    assert len(connections) == 0
    assert connections.forgotten == 0


def test_the_connections_of_a_process_are_its_own() -> None:
    connections = Connections()
    ours = [connections.find(key(number))[0] for number in (1, 2)]
    connections.find(key(1, pid=2))
    connections.find(key(1)._replace(start_ns=11))
    assert connections.of_process(key(1).process) == ours


def test_closing_while_iterating_visits_them_all() -> None:
    connections = Connections()
    for number in range(5):
        connections.find(key(number))
    assert [connections.close(c.key) for c in connections] != []
    assert len(connections) == 0
