from itertools import pairwise

import pytest

from busted.classifier.direction import Direction
from busted.classifier.opening import HTTP2_PREFACE, Opening
from tests.unit.classifier.wire import CHAT, request, response

WRITE, READ = Direction.WRITE, Direction.READ


def test_the_preface_is_held_back_until_it_is_certain() -> None:
    opening = Opening()
    pieces = [HTTP2_PREFACE[a:b] for a, b in pairwise(range(len(HTTP2_PREFACE) + 1))]

    assert b"".join(opening.feed(WRITE, piece) for piece in pieces) == b""
    assert (opening.protocol, opening.role) == ("http2", "client")


def test_what_only_began_like_the_preface_is_let_go() -> None:
    opening = Opening()

    assert opening.feed(WRITE, b"P") == b""
    assert opening.feed(WRITE, b"OST /") == b"POST /"
    assert opening.feed(WRITE, b"PRI") == b"PRI"


def test_what_is_held_back_can_be_had_at_the_end() -> None:
    opening = Opening()
    opening.feed(READ, b"PR")

    assert opening.release(READ) == b"PR"
    assert opening.release(READ) == b""
    assert opening.feed(READ, b"PRI") == b"PRI"


@pytest.mark.parametrize(("direction", "data"), [(READ, request(CHAT)), (WRITE, response({}))])
def test_a_server_is_recognised_however_its_first_head_is_cut(
    direction: Direction, data: bytes
) -> None:
    for cut in range(1, len(data)):
        opening = Opening()
        opening.feed(direction, data[:cut])
        opening.feed(direction, data[cut:])
        assert opening.role == "server"


def test_the_first_to_know_the_role_is_right() -> None:
    opening = Opening()
    opening.decide("client")
    opening.feed(READ, request(CHAT))

    assert opening.role == "client"
