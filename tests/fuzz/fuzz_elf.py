"""Invariant: any file is one of ELF, or a ValueError; what is found in it is in bounds."""

from busted.kernel.elf import ElfFile
from tests.unit.kernel.elf_bytes import elf, opened

NAMES = ("SSL_read", "SSL_write")

SEEDS = [
    elf(b"\xc3" * 16, {"SSL_read": 0, "SSL_write": 8}, build_id=b"\1" * 20),
    elf(b"", {"SSL_read": 0}, defined=False),
    elf(b"\xc3", {}),
]


def one_input(data: bytes) -> None:
    with opened(data) as fd:
        try:
            file = ElfFile(fd)
        except ValueError:
            return
        found = file.functions(NAMES)
        assert found.keys() <= set(NAMES)
        assert all(offset >= 0 for offset in found.values())
        assert len(file.build_id() or "") <= 2 * len(data)
