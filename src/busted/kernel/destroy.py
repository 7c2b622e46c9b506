"""Ends one TCP connection of another process: both ends see a network error, and the process lives.

Strategy: SOCK_DESTROY of the kernel's socket diagnosis (sock_diag(7); linux/sock_diag.h, since
Linux 4.5 with CONFIG_INET_DIAG_DESTROY), by the two ends and the socket's cookie, so that a
connection that took over the same ports since is never meant. The question is asked in the
network namespace of the process. What the kernel throws away of the connection's queues is never
sent; the process gets ECONNABORTED, its peer a reset.

It takes CAP_NET_ADMIN, and CAP_SYS_ADMIN and CAP_SYS_PTRACE for the namespaces of others. A
monitor that gave those up asks `kernel.privileged`, which has them.

Left out: sockets of protocols other than TCP, and those in the namespace of nobody that is known:
a process that entered another namespace after it connected is not followed there.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h, linux/sched.h.
_NETLINK_SOCK_DIAG = 4
_SOCK_DESTROY, _SOCK_DIAG_BY_FAMILY = 21, 20
_REQUEST, _ACKNOWLEDGE, _DUMP = 0x001, 0x004, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_CLONE_NEWNET = 0x40000000
_ALL_STATES = 0xFFFFFFFF
# struct nlmsghdr; the start of struct inet_diag_req_v2; struct inet_diag_sockid, whose ports and
# addresses are in network order; where that stands in struct inet_diag_msg.
_HEADER = struct.Struct("=IHHII")
_REQUEST_HEAD = struct.Struct("=BBBxI")
_SOCKET_ID = struct.Struct("!HH16s16s4s8s")
_ID_IN_MESSAGE = 4
_COOKIE = struct.Struct("=II")
_ERROR = struct.Struct("=i")
_MAX_REPLY = 32768
_IPV4_MAPPED = b"\0" * 10 + b"\xff\xff"


class TcpConnection(msgspec.Struct, frozen=True):
    """A connection by its two ends, as `records.Flow` has them, and the cookie of its socket.

    Addresses are 16 bytes in network order, IPv4 as IPv4-mapped IPv6; ports in host order.
    """

    local: bytes
    local_port: int
    remote: bytes
    remote_port: int
    cookie: int


class Outcome(msgspec.Struct, frozen=True):
    """What became of it: done, nothing left to do it to, or not possible for a reason."""

    result: Literal["done", "gone", "not_possible"]
    reason: str = ""


DONE = Outcome("done")


def destroy(
    connection: TcpConnection, pid: int | None = None, proc: Path = Path("/proc")
) -> Outcome:
    """Destroy a connection in the network namespace of a process, or in the caller's own.

    Where the process has ended, whoever shares its socket may be in the caller's namespace.
    """
    try:
        with _network_of(pid, proc), _open_netlink() as netlink:
            found = _destroy(netlink, _exact(connection))
            if found == errno.ENOENT and (bound := _search(netlink, connection)):
                found = _destroy(netlink, bound)
    except OSError as error:
        return _failed(error.errno or 0)
    if found == errno.ENOENT:
        return Outcome("gone", "no such connection")
    return _failed(found) if found else DONE


def _failed(number: int) -> Outcome:
    reason = os.strerror(number)
    if number == errno.EOPNOTSUPP:
        reason += ": the kernel was built without CONFIG_INET_DIAG_DESTROY"
    elif number == errno.EPERM:
        reason += ": it takes CAP_NET_ADMIN, and CAP_SYS_ADMIN for other network namespaces"
    return Outcome("not_possible", reason)


@contextlib.contextmanager
def _network_of(pid: int | None, proc: Path) -> Iterator[None]:
    """Be in the network namespace of a process. Raises OSError."""
    with contextlib.ExitStack() as undo:
        if pid is not None:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                theirs = _open_namespace(proc / str(pid), undo)
                ours = _open_namespace(proc / "thread-self", undo)
                if not os.path.sameopenfile(theirs, ours):
                    _enter(theirs)
                    undo.callback(_enter, ours)
        yield


def _open_namespace(process: Path, undo: contextlib.ExitStack) -> int:
    fd = os.open(process / "ns/net", os.O_RDONLY | os.O_CLOEXEC)
    undo.callback(os.close, fd)
    return fd


def _enter(namespace: int) -> None:
    # os.setns() came with Python 3.12.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def _open_netlink() -> socket.socket:
    return socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG
    )


def _family(connection: TcpConnection) -> int:
    mapped = connection.local.startswith(_IPV4_MAPPED)
    return socket.AF_INET if mapped else socket.AF_INET6


def _exact(connection: TcpConnection) -> bytes:
    """Return a request for the connection, of a socket that is bound to no interface."""
    family = _family(connection)
    local, remote = connection.local, connection.remote
    if family == socket.AF_INET:
        local, remote = local[len(_IPV4_MAPPED) :], remote[len(_IPV4_MAPPED) :]
    cookie = _COOKIE.pack(connection.cookie & 0xFFFFFFFF, connection.cookie >> 32)
    ports = connection.local_port, connection.remote_port
    return _request(family, _SOCKET_ID.pack(*ports, local, remote, b"", cookie))


def _request(family: int, socket_id: bytes) -> bytes:
    return _REQUEST_HEAD.pack(family, socket.IPPROTO_TCP, 0, _ALL_STATES) + socket_id


def _send(netlink: socket.socket, kind: int, flags: int, request: bytes) -> None:
    size = _HEADER.size + len(request)
    netlink.send(_HEADER.pack(size, kind, _REQUEST | flags, 0, 0) + request)


def _destroy(netlink: socket.socket, request: bytes) -> int:
    """Ask for the end of a connection; return the kernel's errno, 0 when it is done."""
    _send(netlink, _SOCK_DESTROY, _ACKNOWLEDGE, request)
    reply = netlink.recv(_MAX_REPLY)
    (number,) = _ERROR.unpack_from(reply, _HEADER.size)
    return -int(number)


def _search(netlink: socket.socket, connection: TcpConnection) -> bytes | None:
    """Look through all connections for that socket: one that is bound to an interface
    (SO_BINDTODEVICE, a VRF) is found by that interface only, which nothing else tells.
    """
    cookie = _COOKIE.pack(connection.cookie & 0xFFFFFFFF, connection.cookie >> 32)
    ports = connection.local_port, connection.remote_port
    # An IPv4-mapped connection is one of an AF_INET6 socket here.
    for family in (socket.AF_INET, socket.AF_INET6):
        wanted = _SOCKET_ID.pack(*ports, b"", b"", b"", b"\xff" * _COOKIE.size)
        _send(netlink, _SOCK_DIAG_BY_FAMILY, _DUMP, _request(family, wanted))
        # All is read, or the rest would be taken for the next answer.
        found = [socket_id for socket_id in _dumped(netlink) if socket_id.endswith(cookie)]
        if found:
            return _request(family, found[0])
    return None


def _dumped(netlink: socket.socket) -> Iterator[bytes]:
    while True:
        reply = netlink.recv(_MAX_REPLY)
        position = 0
        while position + _HEADER.size <= len(reply):
            size, kind, *_ = _HEADER.unpack_from(reply, position)
            if kind in (_NLMSG_ERROR, _NLMSG_DONE) or size < _HEADER.size:
                return
            start = position + _HEADER.size + _ID_IN_MESSAGE
            yield reply[start : start + _SOCKET_ID.size]
            position += (size + 3) & ~3
