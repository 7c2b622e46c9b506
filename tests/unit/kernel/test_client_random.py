"""Where the client random is, on the code that real libraries copy it with."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from busted.kernel.client_random import RandomPath, follow, follow_bio, random_path
from busted.kernel.elf import ElfFile
from tests.unit.kernel.elf_bytes import elf, opened

# The beginning of SSL_get_client_random, up to where the copy begins, and what must be found.
LIBRARIES = {
    "libssl.so.1.1 1.1.1w-0+deb11u1": (
        "b8200000004885d274654883fa20488bbfa8000000480f46c2488d8fb800000089c283f8087249488b97"
        "b80000004c8d46084983e0f8488916",
        RandomPath(0xB8, pointer=0xA8),
    ),
    "libssl.so.3 3.0.19-1~deb12u2": (
        "4889f1b8200000004885d2745a4839c2488db760010000480f46c289c283f808725e488b97600100004c"
        "8d41084983e0f8488911",
        RandomPath(0x160),
    ),
    "libssl.so.3 3.5.7-1~deb13u2": (
        "f30f1efa4885ff0f84eb000000554889f5534889d34883ec088b0785c07419a8800f8491000000e8d474"
        "03004889c74885c00f8480000000b8200000004885db745e4839c3488d8f88010000480f46c389c283f8"
        "087279488b978801000048895500",
        RandomPath(0x188, zero=0),
    ),
    "libssl.so.3 of psycopg2-binary, a manylinux wheel": (
        "4885ff0f84cf000000554889f5534889d34883ec088b0785c0741da880740de8cc7f03004889c74885c0"
        "750c31c04883c4085b5dc30f1f00b8200000004885db74ec4883fb20488d8f88010000480f46c389c283"
        "f8087250488b97880100004c8d45084889ee4983e0f848895500",
        RandomPath(0x188, zero=0),
    ),
    "libssl.so.0, BoringSSL of android-libboringssl 14.0.0+r45-2": (
        "f30f1efa534885d274254883fa20bb20000000480f42da488b47304883c0304889f74889c64889dae8",
        RandomPath(0x30, pointer=0x30),
    ),
    "node 18.9.1 and 20.20.2, OpenSSL 3.0": (
        "b8200000004885d2745e4883fa20488d8f60010000480f46c289c283f8087250488b97600100004c8d46"
        "084983e0f8488916",
        RandomPath(0x160),
    ),
    "node 22.23.3, OpenSSL 3.5.8": (
        "4885ff0f84d7000000554889e541544989f4538b074889d385c0741ca880740de84b9203004889c74885"
        "c0750b31c05b415c5dc30f1f4000b8200000004885db74ed4883fb20488d8f88010000480f46c389c283"
        "f8087258488b97880100004d8d4424084c89e64983e0f849891424",
        RandomPath(0x188, zero=0),
    ),
    "node 24.9.0, OpenSSL 3.5.3": (
        "4885ff0f84cf000000554889e541544989f4538b074889d385c07415a8800f847c000000e867a6030048"
        "89c74885c0746fb8200000004885db745f4839c3488db788010000480f46c389c183f8087260488b9788"
        "0100004d8d4424084983e0f849891424",
        RandomPath(0x188, zero=0),
    ),
    "node 26.9.0, by clang, OpenSSL 3.5.8": (
        "554889e54156534885ff74544889f88b0f85c9741d84c979474889c74889f34989d6e8d93a03004c89f2"
        "4889de4885c0742e4885d274304883fa20bb20000000480f42da4805880100004889f74889c64889dae8",
        RandomPath(0x188, zero=0),
    ),
}
# Of the simplest: mov %rsi,%rcx; mov $32,%eax; ... lea 0x160(%rdi),%rsi; ... the load; the store.
SIMPLE = bytes.fromhex(LIBRARIES["libssl.so.3 3.0.19-1~deb12u2"][0])
LOAD, STORE = bytes.fromhex("488b9760010000"), bytes.fromhex("488911")


@pytest.mark.parametrize(("code", "path"), LIBRARIES.values(), ids=LIBRARIES.keys())
def test_the_place_is_found_in_every_library_that_was_met(code: str, path: RandomPath) -> None:
    assert follow(bytes.fromhex(code) + b"\xcc" * 64) == path


@pytest.mark.parametrize(("code", "path"), LIBRARIES.values(), ids=LIBRARIES.keys())
def test_a_function_that_is_cut_gives_nothing(code: str, path: RandomPath) -> None:
    whole = bytes.fromhex(code)
    assert {follow(whole[:length]) for length in range(len(whole))} == {None}


NEAR_MISSES = {
    "copies to another place": SIMPLE.replace(STORE, b"\x48\x89\x51\x08"),
    "copies something computed": SIMPLE.replace(STORE, b"\x48\x89\x01"),
    "copies to the connection": SIMPLE.replace(STORE, b"\x48\x89\x17"),
    "copies four bytes": SIMPLE.replace(STORE, b"\x89\x11\x90"),
    "reads through a register with an index": SIMPLE.replace(LOAD, b"\x48\x8b\x14\x0f\x90\x90\x90"),
    "reads behind the object": SIMPLE.replace(LOAD, b"\x48\x8b\x97\0\0\1\0"),
    "reads before the object": SIMPLE.replace(LOAD, b"\x48\x8b\x97\xf8\xff\xff\xff"),
    "reads what it writes": SIMPLE.replace(LOAD, b"\x48\x8b\x91\x60\1\0\0"),
    "depends on what nobody knows": b"\x4d\x85\xc0\x74\x00" + SIMPLE,
    "calls something first": b"\xe8\0\0\0\0" + SIMPLE,
    "goes elsewhere": b"\xff\x25\0\0\0\0",
    "goes round and round": b"\xeb\xfe",
    "jumps back to before its start": b"\xeb\x80",
}


@pytest.mark.parametrize("code", NEAR_MISSES.values(), ids=NEAR_MISSES.keys())
def test_what_is_not_certain_gives_nothing(code: bytes) -> None:
    assert code != SIMPLE
    assert follow(code) is None


def test_an_object_of_two_kinds_is_not_understood() -> None:
    # mov (%rdi),%eax; test; je; mov 4(%rdi),%eax; test; je: two words would have to be zero.
    twice = bytes.fromhex("8b0785c074008b470485c07400")
    assert follow(twice[:6] + SIMPLE) == RandomPath(0x160, zero=0)
    assert follow(twice + SIMPLE) is None


# SSL_get_rbio, whole, and where its result stands.
BIO_LIBRARIES = {
    "libssl.so.3 3.0.19-1~deb12u2": ("488b4710c3", None, 0x10),
    "libssl.so.3 3.5.7-1~deb13u2": (
        "f30f1efa4885ff740a8b0785c07411a880751d31c031ffc30f1f840000000000488b475031ffc3",
        0,
        0x50,
    ),
}


@pytest.mark.parametrize(("code", "zero", "bio"), BIO_LIBRARIES.values(), ids=BIO_LIBRARIES.keys())
def test_what_a_connection_reads_from_is_found(code: str, zero: int | None, bio: int) -> None:
    whole = bytes.fromhex(code)
    assert follow_bio(whole, zero) == bio
    assert {follow_bio(whole[:length], zero) for length in range(len(whole))} == {None}


def test_what_a_connection_reads_from_is_not_told_where_it_is_not_certain() -> None:
    kind = bytes.fromhex(BIO_LIBRARIES["libssl.so.3 3.5.7-1~deb13u2"][0])
    assert follow_bio(kind, 4) is None  # another kind is asked for than the random's
    assert follow_bio(bytes.fromhex("8b4710c3")) is None  # half an address
    assert follow_bio(bytes.fromhex("488d4710c3")) is None  # the place, not what stands there
    assert follow_bio(bytes.fromhex("488b8700000100c3")) is None  # behind the object


@given(st.binary(max_size=200))
@example(bytes.fromhex("488b8700000100c3"))
def test_any_code_gives_what_a_connection_reads_from_within_it_or_nothing(code: bytes) -> None:
    for bio in (follow_bio(code), follow_bio(b"\x48\x8b\x47\x10" + code)):
        assert bio is None or 0 <= bio < 1 << 14


@given(st.binary(max_size=200))
@example(bytes.fromhex("488b042500000000"))
def test_any_code_gives_a_place_within_an_object_or_nothing(code: bytes) -> None:
    for path in (follow(code), follow(SIMPLE[: len(code) % len(SIMPLE)] + code)):
        if path is not None:
            assert all(0 <= n < 1 << 14 for n in (path.offset, path.pointer or 0, path.zero or 0))


def test_it_is_looked_for_by_name_on_the_processor_that_is_understood() -> None:
    with opened(elf(SIMPLE, {"SSL_get_client_random": 0})) as fd:
        assert random_path(ElfFile(fd), "x86_64") == RandomPath(0x160)
        assert random_path(ElfFile(fd), "aarch64") is None
    both = SIMPLE.ljust(1024, b"\xcc") + bytes.fromhex("488b4710c3")
    with opened(elf(both, {"SSL_get_client_random": 0, "SSL_get_rbio": 1024})) as fd:
        assert random_path(ElfFile(fd), "x86_64") == RandomPath(0x160, bio=0x10)
    with opened(elf(SIMPLE, {"SSL_get_server_random": 0})) as fd:
        assert random_path(ElfFile(fd), "x86_64") is None
