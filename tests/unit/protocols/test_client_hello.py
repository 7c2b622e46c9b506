from __future__ import annotations

import pytest

from busted.protocols.client_hello import MAX_HELLO_BYTES, ClientHello, ClientHelloReader
from tests.hello_wire import (
    RANDOM,
    message,
    of_openssl,
    protocols,
    records,
    server_name,
    vector,
    versions,
)


def read(data: bytes) -> ClientHello:
    reader = ClientHelloReader()
    found = reader.feed(data)
    assert found is not None
    assert reader.done
    return found


def test_name_protocols_versions_and_random_are_read() -> None:
    whole = message(
        server_name(b"API.OpenAI.com"), protocols(b"h2", b"http/1.1"), versions(0x0304, 0x0303)
    )
    assert read(records(whole)) == ClientHello(
        RANDOM, (0x0304, 0x0303), "api.openai.com", ("h2", "http/1.1")
    )


def test_a_real_clients_hello_is_read() -> None:
    hello = read(of_openssl("api.openai.com", "h2"))
    assert (hello.sni, hello.alpn, hello.ech) == ("api.openai.com", ("h2",), False)
    assert 0x0304 in hello.versions
    assert not hello.truncated


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_message_in_many_records_is_the_same(size: int) -> None:
    whole = message(server_name(b"a.example"), (51, bytes(1500)))
    assert read(records(whole, size)) == read(records(whole))


def test_what_follows_in_the_same_record_is_not_read() -> None:
    whole = message(server_name(b"a.example"))
    assert read(records(whole + message(server_name(b"b.example")))) == read(records(whole))


def test_a_hello_without_extensions_names_its_version() -> None:
    assert read(records(message())) == ClientHello(RANDOM, (0x0303,))


def test_values_without_meaning_are_left_away() -> None:
    whole = message((0x0A0A, b""), versions(0x7A7A, 0x0304), protocols(b"\x8a\x8a", b"h2"))
    hello = read(records(whole))
    assert (hello.versions, hello.alpn) == ((0x0304,), ("h2",))


def test_an_encrypted_hello_is_told() -> None:
    hello = read(records(message(server_name(b"front.example"), (0xFE0D, b"\0" * 40))))
    assert hello.ech
    assert hello.sni == "front.example"


@pytest.mark.parametrize("host", [b"a\nb", b"192.0.2.1", b"", b"a" * 300, b"\xff", b"a..b"])
def test_a_name_that_is_no_host_name_is_not_told(host: bytes) -> None:
    assert read(records(message(server_name(host)))).sni is None


def test_another_kind_of_name_is_not_told() -> None:
    assert read(records(message(server_name(b"a.example", kind=1)))).sni is None


def test_the_first_of_two_equal_extensions_counts() -> None:
    hello = read(records(message(server_name(b"a.example"), server_name(b"b.example"))))
    assert hello.sni == "a.example"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x17\x03\x03\0\x10" + bytes(16),
        b"\x16\x02\x01\0\x10",
        b"\x16\x03\x01\0\0",
        b"\x16\x03\x01\x40\x01",
        records(b"\2" + message()[1:]),  # a server's
        records(message(server_name(b"a.example")), 20)[:25] + b"\x17\x03\x03\0\1x",
        records(b"\1\0\0\x05hello"),  # no room for a random number
    ],
)
def test_anything_else_ends_the_search(data: bytes) -> None:
    reader = ClientHelloReader()
    assert reader.feed(data) is None
    assert reader.done
    assert reader.feed(records(message())) is None
    assert reader.close() is None


def test_a_message_over_the_limit_is_read_as_far_as_the_limit_goes() -> None:
    whole = message(server_name(b"a.example"), (51, bytes(2 * MAX_HELLO_BYTES)))
    hello = read(records(whole))
    assert hello.truncated
    assert hello.sni == "a.example"


def test_what_was_seen_of_a_cut_message_is_told_at_the_end() -> None:
    whole = message(server_name(b"a.example"), (51, bytes(100)))
    names = []
    # From the end of the random number on.
    for length in range(5 + 4 + 2 + 32, len(records(whole))):
        reader = ClientHelloReader()
        assert reader.feed(records(whole)[:length]) is None
        hello = reader.close()
        assert hello is not None
        assert (hello.random, hello.truncated) == (RANDOM, True)
        names.append(hello.sni)
    assert set(names) == {None, "a.example"}
    assert names == sorted(names, key=lambda name: name or "")


def test_a_length_that_lies_is_survived() -> None:
    body = b"\3\3" + RANDOM + vector(1, b"") + vector(2, b"\x13\x01") + vector(1, b"\0")
    lying = body + vector(2, b"\0\0" + b"\xff\xff" + b"\0\x0e\0")
    hello = read(records(b"\1" + vector(3, lying)))
    assert hello.truncated
    assert hello.sni is None
