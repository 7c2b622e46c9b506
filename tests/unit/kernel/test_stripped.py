"""Functions found by their code, on code that is made from the signatures that are shipped."""

from __future__ import annotations

import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.kernel import stripped
from busted.kernel.elf import ElfFile
from busted.kernel.stripped import Signature, find_stripped, signatures
from tests.unit.kernel.elf_bytes import TEXT_OFFSET, elf, opened

ROOM = 1024


def body(function: stripped._Function, *, reasons: tuple[int, ...] | None = None) -> bytes:
    """A function as the signature describes it: it reports its errors behind its return."""
    errors = b"".join(
        b"\xba" + reason.to_bytes(4, "little") + b"\xbf\x10\0\0\0\xe8\0\0\0\0"
        for reason in (function.reasons if reasons is None else reasons)
    )
    return (bytes.fromhex(function.start) + b"\x90" * 40 + b"\xc3" + errors).ljust(ROOM, b"\xcc")


def code(signature: Signature) -> dict[str, bytes]:
    return {name: body(function) for name, function in signature.functions.items()}


def found(signature: Signature, text: bytes) -> dict[str, int] | None:
    """Where each program goes, from the start of the text."""
    with opened(elf(text, {})) as fd:
        places = signature.find(ElfFile(fd))
    if places is None:
        return None
    return {place.program: place.offset - TEXT_OFFSET for place in places}


by_start = [one for one in signatures() if all(f.start for f in one.functions.values())]
every_signature = pytest.mark.parametrize("signature", by_start, ids=lambda s: s.name)


@every_signature
def test_each_function_is_found_where_it_begins(signature: Signature) -> None:
    text = b"\xcc" * 100 + b"".join(code(signature).values())
    assert found(signature, text) == {
        function.program: 100 + ROOM * number
        for number, function in enumerate(signature.functions.values())
    }


@every_signature
def test_functions_across_the_pieces_that_are_read_are_found(
    signature: Signature, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"\xcc" * 100 + b"".join(code(signature).values())
    whole = found(signature, text)
    monkeypatch.setattr(stripped, "_PIECE_BYTES", 117)
    assert found(signature, text) == whole


@every_signature
def test_what_is_there_twice_is_not_trusted(signature: Signature) -> None:
    bodies = list(code(signature).values())
    for number in range(len(bodies)):
        assert found(signature, b"".join([*bodies, bodies[number]])) is None


@every_signature
def test_what_is_missing_or_reports_other_errors_is_not_trusted(signature: Signature) -> None:
    whole = code(signature)
    for name, function in signature.functions.items():
        assert found(signature, b"".join((whole | {name: b""}).values())) is None
        for reason in function.reasons:
            rest = tuple(r for r in function.reasons if r != reason)
            other = body(function, reasons=(*rest, reason + 1))
            assert found(signature, b"".join((whole | {name: other}).values())) is None


@every_signature
def test_errors_of_the_next_function_do_not_count(signature: Signature) -> None:
    whole = code(signature)
    name, function = next(iter(signature.functions.items()))
    start = bytes.fromhex(function.start) + b"\xc3\xcc\xcc"
    assert found(signature, b"".join((whole | {name: start + whole[name]}).values())) is not None
    short = start + body(function)[len(bytes.fromhex(function.start)) :]
    assert found(signature, b"".join((whole | {name: short}).values())) is None


@every_signature
def test_only_programs_that_are_large_enough_are_read(
    signature: Signature, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"".join(code(signature).values())
    few = msgspec.structs.replace(signature, min_code_bytes=len(text))
    with opened(elf(text, {})) as fd:
        assert find_stripped(ElfFile(fd), signature.machine) is None
        monkeypatch.setattr(stripped, "signatures", lambda: (few,))
        stack = find_stripped(ElfFile(fd), signature.machine)
        assert stack is not None
        assert stack.kind == signature.kind
        assert find_stripped(ElfFile(fd), "another") is None


def test_each_function_of_a_signature_is_found_in_one_way() -> None:
    for signature in signatures():
        for function in signature.functions.values():
            ways = (function.start, function.mentions, function.tables)
            assert len(list(filter(None, ways))) == 1


@pytest.mark.parametrize("table", [("seal", 16), ("this",), ("this", -1), ("this", 1 << 63)])
def test_a_table_has_the_function_and_a_number(table: tuple[str | int, ...]) -> None:
    with pytest.raises(ValueError, match="a table without"):
        stripped._Function("tls_seal", tables=(table,))


def test_one_file_may_have_several_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    (signature,) = by_start
    both = [msgspec.structs.replace(signature, min_code_bytes=0, kind=kind) for kind in "ab"]
    monkeypatch.setattr(stripped, "signatures", lambda: both)
    with opened(elf(b"".join(code(signature).values()), {})) as fd:
        stack = find_stripped(ElfFile(fd), signature.machine)
    assert stack is not None
    assert stack.kind == "a and b"
    assert len(stack.places) == 2 * len(signature.functions)


def test_a_signature_does_without_what_is_optional() -> None:
    (signature,) = by_start
    whole = code(signature)
    name = list(signature.functions)[-1]
    text = b"".join((whole | {name: b""}).values())
    assert found(signature, text) is None
    optional = msgspec.structs.replace(signature.functions[name], optional=True)
    spared = signature.functions | {name: optional}
    one = msgspec.structs.replace(signature, functions=spared)
    assert optional.program not in (found(one, text) or {})
    assert len(found(one, text) or {}) == len(spared) - 1


@given(st.binary(max_size=4096), st.integers(0, 1 << 63))
def test_any_code_and_any_claim_of_its_size_is_looked_at(text: bytes, size: int) -> None:
    content = bytearray(elf(text, {}))
    content[96:104] = size.to_bytes(8, "little")  # how much of the file the segment takes
    with opened(bytes(content)) as fd:
        for signature in signatures():
            assert signature.find(ElfFile(fd)) is None
        assert os.fstat(fd).st_size == len(content)
