"""Where in a file to set the probes: a table of TLS stacks, their functions, and a cheaper place.

A stack shows by its functions' names, exported or not: a program may have one linked in. GnuTLS's
and NSPR's functions take and return what OpenSSL's do, so the same programs serve them. Where
there are no names, `kernel.stripped` looks for the code itself.

The kernel runs the instruction under a probe either by emulating it (push, call, jump: about
1 us) or by single-stepping a copy (all others: up to 10 us on a virtual machine). OpenSSL's
SSL_write, SSL_write_ex and their twins often begin with `sub` and do nothing but call
ssl_write_internal() or ssl_read_internal(), which begin with `push`. Where the bytes of such
a wrapper say so beyond doubt, the probe goes there; otherwise on the function itself.

Reference: arch/x86/kernel/uprobes.c of Linux (branch_setup_xol_ops, push_setup_xol_ops);
ssl/ssl_lib.c of OpenSSL 3; gnutls.org/manual, "Data transfer and termination"; NSPR's prio.h.
"""

from __future__ import annotations

import re
import struct

import msgspec

from busted.kernel.elf import ElfFile

# function: (the program for its entry, whether its return is awaited)
_Functions = dict[str, tuple[str, bool]]


class _Known(msgspec.Struct, frozen=True):
    """A TLS stack's functions; a file that defines all `needed` ones has it."""

    kind: str
    needed: frozenset[str]
    functions: _Functions


_KNOWN = (
    _Known(
        "openssl",
        frozenset({"SSL_write", "SSL_read"}),
        {
            "SSL_write": ("tls_write", True),
            "SSL_write_ex": ("tls_write_ex", True),
            "SSL_read": ("tls_read", True),
            "SSL_read_ex": ("tls_read_ex", True),
            "SSL_ctrl": ("tls_control", False),
            "SSL_set_tlsext_host_name": ("tls_host_name", False),
            "SSL_free": ("tls_free", False),
        },
    ),
    _Known(
        "gnutls",
        frozenset({"gnutls_record_send", "gnutls_record_recv"}),
        {
            "gnutls_record_send": ("tls_write", True),
            "gnutls_record_recv": ("tls_read", True),
            "gnutls_server_name_set": ("tls_server_name", False),
            "gnutls_deinit": ("tls_free", False),
        },
    ),
    # NSPR's functions write to files and sockets of all kinds; those of NSS are layers below them,
    # so what is not TLS is seen too, and muted as what no agent says.
    _Known(
        "nss",
        frozenset({"PR_Write", "PR_Read", "PR_Send", "PR_Recv"}),
        {
            "PR_Send": ("tls_write", True),
            "PR_Write": ("tls_write", True),
            "PR_Recv": ("tls_read", True),
            "PR_Read": ("tls_read", True),
            "PR_Close": ("tls_free", False),
        },
    ),
    _Known("nss", frozenset({"SSL_SetURL"}), {"SSL_SetURL": ("tls_host_name", False)}),
)
_NAMES = frozenset(name for known in _KNOWN for name in known.functions)

# Those for Go, see kernel.go; its returns are places of their own.
_GO_PROGRAMS = ("tls_go_write", "tls_go_read", "tls_go_return", "tls_go_close")
# Those for AWS-LC and ring, whose functions have no names either, see signatures/aws_lc.toml and
# ring.toml.
AEAD_PROGRAMS = {
    "tls_seal": False,
    "tls_unseal": True,
    "tls_ring_seal": False,
    "tls_ring_open": True,
}
PROGRAMS = (
    {program: at_return for known in _KNOWN for program, at_return in known.functions.values()}
    | dict.fromkeys(_GO_PROGRAMS, False)
    | AEAD_PROGRAMS
)
"""The programs that places name, and whether a return belongs to each."""

# The internal functions take the count's address in the fourth argument, as the _ex ones do.
_INTERNAL_PROGRAM = {
    "SSL_write": "tls_write_ex",
    "SSL_write_ex": "tls_write_ex",
    "SSL_read": "tls_read_ex",
    "SSL_read_ex": "tls_read_ex",
}

# x86-64 instructions that may stand between a wrapper's start and its call. None of them
# touches the first two arguments; the third is at most sign-extended from int.
_WRAPPER = re.compile(
    rb"(?:"
    rb"\xf3\x0f\x1e\xfa"  # endbr64
    rb"|\x48\x83\xec."  # sub $n,%rsp
    rb"|\x64\x48\x8b\x04\x25\x28\0\0\0"  # mov %fs:0x28,%rax: the stack protector's value
    rb"|\x48\x89\x44\x24."  # mov %rax,n(%rsp)
    rb"|\x31\xc0"  # xor %eax,%eax
    rb"|\x85\xd2"  # test %edx,%edx
    rb"|\x78.|\x0f\x88...."  # js: a negative length
    rb"|\x48\x63\xd2"  # movslq %edx,%rdx
    rb"|(?P<count>\x48\x89\xe1|\x48\x8d\x4c\x24.)"  # mov %rsp,%rcx; lea n(%rsp),%rcx
    rb")*\xe8(?P<target>....)",  # call
    re.DOTALL,
)
_PUSH = re.compile(rb"[\x50-\x57]|\x41[\x50-\x57]")
_WRAPPER_BYTES = 64


class Place(msgspec.Struct, frozen=True):
    """One probe: `offset` in the file, the program for its entry, and if a return one belongs."""

    program: str
    offset: int
    at_return: bool


class Stack(msgspec.Struct, frozen=True):
    """The TLS stack of a file, and the probes for it."""

    kind: str
    places: tuple[Place, ...]


def find_stack(elf: ElfFile, machine: str, symbols: ElfFile | None = None) -> Stack | None:
    """Return the TLS stack that a file has by its symbols, None when it is none that we know.

    The symbols may stand in another file, of debug information.

    The probes come in the order of the table, in which they are best set: attaching takes
    milliseconds, and a program that just started is about to write. `machine` is what
    `platform.machine()` says; the cheaper place is known on x86_64 only.
    """
    functions = elf.functions(_NAMES)
    if symbols is not None:
        addresses = symbols.function_addresses(_NAMES)
        offsets = {name: elf.file_offset(address) for name, address in addresses.items()}
        functions = {name: offset for name, offset in offsets.items() if offset is not None}
    known = next((known for known in _KNOWN if known.needed <= functions.keys()), None)
    if known is None:
        return None
    found: dict[Place, None] = {}
    for name, (program, at_return) in known.functions.items():
        if name not in functions:
            continue
        offset = functions[name]
        inner = _internal_function(elf, name, offset) if machine == "x86_64" else None
        if inner is not None:
            program, offset = _INTERNAL_PROGRAM[name], inner
        found[Place(program, offset, at_return)] = None
    return Stack(known.kind, tuple(found))


def _internal_function(elf: ElfFile, name: str, offset: int) -> int | None:
    if name not in _INTERNAL_PROGRAM:
        return None
    wrapper = _WRAPPER.match(elf.read(offset, _WRAPPER_BYTES))
    # Without the _ex, the wrapper itself must have set the fourth argument; with it, left it alone.
    if wrapper is None or (wrapper["count"] is None) != name.endswith("_ex"):
        return None
    (distance,) = struct.unpack("<i", wrapper["target"])
    target = offset + wrapper.end() + distance
    return target if target >= 0 and _PUSH.match(elf.read(target, 2)) else None
