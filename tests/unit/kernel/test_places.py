"""Where probes go, on the bytes that Debian's OpenSSL 3.0 begins its functions with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.kernel.elf import ElfFile
from busted.kernel.places import Place, find_stack
from tests.unit.kernel.elf_bytes import TEXT_OFFSET, elf, opened

# Offsets in the text below. Between functions stand traps, which begin no function.
WRITE, WRITE_EX, READ, READ_EX, CONTROL, FREE, INNER_WRITE, INNER_READ = range(0, 1024, 128)

# SSL_write and SSL_read of libssl3 3.0.19-1~deb12u2, amd64; the call's distance is left out.
WRAPPER = bytes.fromhex(
    "48 83 ec 18"  # sub $0x18,%rsp
    "64 48 8b 04 25 28 00 00 00"  # mov %fs:0x28,%rax
    "48 89 44 24 08"  # mov %rax,0x8(%rsp)
    "31 c0"  # xor %eax,%eax
    "85 d2"  # test %edx,%edx
    "78 2f"  # js
    "48 89 e1"  # mov %rsp,%rcx
    "48 63 d2"  # movslq %edx,%rdx
    "e8"  # call
)
# SSL_write_ex and SSL_read_ex of the same.
WRAPPER_EX = bytes.fromhex("48 83 ec 08 e8")  # sub $0x8,%rsp; call
INTERNAL = bytes.fromhex("41 57 41 56")  # push %r15; push %r14
CONTROL_START = bytes.fromhex("55 8d 46 f0")
FREE_START = bytes.fromhex("48 85 ff 0f")

NAMES = {
    "SSL_write": WRITE,
    "SSL_write_ex": WRITE_EX,
    "SSL_read": READ,
    "SSL_read_ex": READ_EX,
    "SSL_ctrl": CONTROL,
    "SSL_free": FREE,
}


def calling(start: bytes, at: int, target: int) -> bytes:
    return start + (target - at - len(start) - 4).to_bytes(4, "little", signed=True)


def text(**functions: bytes) -> bytes:
    """The library's code, with other bytes at the start of some functions."""
    starts = {
        "write": calling(WRAPPER, WRITE, INNER_WRITE),
        "write_ex": calling(WRAPPER_EX, WRITE_EX, INNER_WRITE),
        "read": calling(WRAPPER, READ, INNER_READ),
        "read_ex": calling(WRAPPER_EX, READ_EX, INNER_READ),
        "control": CONTROL_START,
        "free": FREE_START,
        "inner_write": INTERNAL,
        "inner_read": INTERNAL,
    } | functions
    return b"".join(start.ljust(128, b"\xcc") for start in starts.values())


def found(code: bytes, machine: str = "x86_64", names: dict[str, int] = NAMES) -> set[Place]:
    with opened(elf(code, names)) as fd:
        stack = find_stack(ElfFile(fd), machine)
    result = stack.places if stack else ()
    assert len(set(result)) == len(result)
    return set(result)


def place(program: str, at: int, at_return: bool = True) -> Place:
    return Place(program, TEXT_OFFSET + at, at_return)


OTHERS = {place("tls_control", CONTROL, False), place("tls_free", FREE, False)}
PLAIN = {
    place("tls_write", WRITE),
    place("tls_write_ex", WRITE_EX),
    place("tls_read", READ),
    place("tls_read_ex", READ_EX),
}
INNER = {place("tls_write_ex", INNER_WRITE), place("tls_read_ex", INNER_READ)}


def test_wrappers_of_openssl_3_0_are_seen_through_and_share_a_probe() -> None:
    assert found(text()) == INNER | OTHERS


def programs(symbols: dict[str, int]) -> list[str]:
    with opened(elf(text(), symbols)) as fd:
        stack = find_stack(ElfFile(fd), "x86_64")
    return [place.program for place in stack.places] if stack else []


def test_what_a_starting_program_does_first_is_probed_first() -> None:
    in_turn = ["tls_write_ex", "tls_read_ex", "tls_control", "tls_free"]
    assert programs(NAMES) == programs(dict(reversed(NAMES.items()))) == in_turn


def test_wrappers_built_with_control_flow_protection_too() -> None:
    endbr64 = bytes.fromhex("f3 0f 1e fa")
    code = text(
        write=calling(endbr64 + WRAPPER, WRITE, INNER_WRITE),
        write_ex=calling(endbr64 + WRAPPER_EX, WRITE_EX, INNER_WRITE),
    )
    assert found(code) == INNER | OTHERS


def test_other_processors_are_probed_at_the_functions_themselves() -> None:
    assert found(text(), machine="aarch64") == PLAIN | OTHERS


# Each differs from a wrapper in one thing, and means something else.
NEAR_MISSES = {
    "jumps instead of calling": WRAPPER[:-1] + b"\xe9",
    "saves a register first": b"\x53" + WRAPPER,
    "changes the first argument": b"\x48\x89\xf7" + WRAPPER,
    "changes the second argument": b"\x31\xf6" + WRAPPER,
    "keeps the third argument's upper half": WRAPPER.replace(b"\x48\x63\xd2", b"\x48\x89\xd2"),
    "passes another register as count": WRAPPER.replace(b"\x48\x89\xe1", b"\x48\x89\xc1"),
    "passes the count as fifth argument, as OpenSSL 3.2 does": WRAPPER.replace(
        b"\x48\x89\xe1", b"\x49\x89\xe0\x31\xc9"
    ),
    "sets no count": WRAPPER.replace(b"\x48\x89\xe1", b""),
    "calls through a register": WRAPPER[:-1] + b"\xff\xd0",
}


@pytest.mark.parametrize("start", NEAR_MISSES.values(), ids=NEAR_MISSES.keys())
def test_a_near_miss_is_probed_itself(start: bytes) -> None:
    code = text(write=calling(start, WRITE, INNER_WRITE))
    assert place("tls_write", WRITE) in found(code)


def test_an_ex_function_that_replaces_the_counts_address_is_probed_itself() -> None:
    code = text(write_ex=calling(WRAPPER, WRITE_EX, INNER_WRITE))
    assert place("tls_write_ex", WRITE_EX) in found(code)


@pytest.mark.parametrize(
    "start",
    [b"\x48\x83\xec\x18", b"\xff\x25", b"\xf3\x0f\x1e\xfa\xff\x25", b"\x41\x58", b""],
    ids=["sub", "jump table", "protected jump table", "pop", "nothing"],
)
def test_a_wrapper_that_calls_what_does_not_begin_with_push_is_probed_itself(start: bytes) -> None:
    assert found(text(inner_write=start)) == OTHERS | {
        place("tls_write", WRITE),
        place("tls_write_ex", WRITE_EX),
        place("tls_read_ex", INNER_READ),
    }


@pytest.mark.parametrize("target", [-(1 << 30), -TEXT_OFFSET - WRITE - 8, 1 << 30])
def test_a_call_to_outside_of_the_file_is_not_followed(target: int) -> None:
    code = text(write=calling(WRAPPER, WRITE, target))
    assert place("tls_write", WRITE) in found(code)


def test_boringssl_sets_the_host_name_with_a_function() -> None:
    names = {"SSL_write": WRITE, "SSL_read": READ, "SSL_set_tlsext_host_name": CONTROL}
    assert place("tls_host_name", CONTROL, False) in found(text(), names=names)


@pytest.mark.parametrize(
    ("kind", "symbols", "programs"),
    [
        (
            "gnutls",
            ["record_send", "record_recv", "server_name_set", "deinit"],
            ["tls_write", "tls_read", "tls_server_name", "tls_free"],
        ),
        (
            "nss",
            ["Send", "Write", "Recv", "Read", "Close"],
            ["tls_write", "tls_write", "tls_read", "tls_read", "tls_free"],
        ),
        ("nss", ["SSL_SetURL"], ["tls_host_name"]),
    ],
    ids=["GnuTLS", "NSPR", "NSS"],
)
def test_other_libraries_are_probed_by_the_programs_that_fit(
    kind: str, symbols: list[str], programs: list[str]
) -> None:
    prefix = {"record_send": "gnutls_", "Send": "PR_"}.get(symbols[0], "")
    names = {prefix + name: 16 * number for number, name in enumerate(symbols)}
    with opened(elf(bytes(256), names)) as fd:
        stack = find_stack(ElfFile(fd), "x86_64")
    assert stack is not None
    assert stack.kind == kind
    assert [(p.program, p.offset) for p in stack.places] == [
        (program, TEXT_OFFSET + 16 * number) for number, program in enumerate(programs)
    ]


@pytest.mark.parametrize("missing", ["SSL_write", "SSL_read"])
def test_a_library_that_cannot_both_write_and_read_is_none(missing: str) -> None:
    names = {name: at for name, at in NAMES.items() if name != missing}
    assert found(text(), names=names) == set()


@given(st.binary(max_size=128), st.integers(0, 128))
def test_any_code_gives_one_place_for_each_function_or_fewer(code: bytes, keep: int) -> None:
    start = calling(WRAPPER, WRITE, INNER_WRITE)[:keep] + code
    result = found(text(write=start[:128]))
    assert result >= OTHERS
    assert {p.program for p in result - OTHERS} <= {p.program for p in PLAIN}
    assert 2 <= len(result - OTHERS) <= 4
