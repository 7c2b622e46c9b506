"""Connections of processes in other network namespaces, ended for them, and what both ends see."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from msgspec.structs import replace

from busted.kernel.destroy import Outcome, TcpConnection, destroy
from busted.kernel.privileged import PrivilegedChild
from tests.kernel.namespace import Namespace, namespace, packed

pytestmark = pytest.mark.needs("root", "unshare")

# What each end of a connection gets to see, by the names of the errors.
LOOK = """
def sees(s):
    s.settimeout(60)
    try:
        return len(s.recv(1)) or "end"
    except OSError as error:
        return errno.errorcode[error.errno]
step()
told |= dict(client=sees(client), accepted=sees(accepted))
again, _ = pair({host!r})
told["again"] = again.getpeername()[0]
"""
CONNECT = """
client, accepted = pair({host!r})
told |= dict(cookie=cookie(client), here=client.getsockname()[:2], there=client.getpeername()[:2])
"""
# A client that knows IPv6 only, and a server that does not.
MAPPED = """
listening = server()
client = socket.socket(socket.AF_INET6)
client.connect(("::ffff:127.0.0.1", listening.getsockname()[1]))
accepted, _ = listening.accept()
told |= dict(cookie=cookie(client), here=client.getsockname()[:2], there=client.getpeername()[:2])
"""
BOUND = """
def bound():
    listening = server()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    client.connect(listening.getsockname())
    return client, listening.accept()[0]
""" + CONNECT.replace("pair({host!r})", "bound()")
SCRIPTS = {
    "IPv4": (CONNECT, "127.0.0.1"),
    "IPv6": (CONNECT, "::1"),
    "IPv4 of an IPv6 socket": (MAPPED, "127.0.0.1"),
    "bound to an interface": (BOUND, "127.0.0.1"),
}


@pytest.fixture(scope="module")
def child() -> Iterator[PrivilegedChild]:
    with closing(PrivilegedChild()) as running:
        yield running


def connection(told: dict[str, Any]) -> TcpConnection:
    return TcpConnection(
        packed(told["here"][0]), told["here"][1], packed(told["there"][0]), told["there"][1],
        told["cookie"],
    )  # fmt: skip


def assert_both_ends_saw_it(running: Namespace) -> None:
    running.go_on()
    told = running.told()
    assert (told["client"], told["accepted"]) == ("ECONNABORTED", "ECONNRESET")
    assert told["again"]


@pytest.mark.parametrize("kind", SCRIPTS)
def test_both_ends_see_an_error_and_the_process_lives(kind: str, child: PrivilegedChild) -> None:
    script, host = SCRIPTS[kind]
    with namespace((script + LOOK).format(host=host)) as running:
        assert child.destroy(connection(running.told()), running.pid).result == "done"
        assert_both_ends_saw_it(running)


def test_it_works_without_the_child_where_the_privileges_are_there() -> None:
    with namespace((CONNECT + LOOK).format(host="127.0.0.1")) as running:
        assert destroy(connection(running.told()), running.pid) == Outcome("done")
        assert_both_ends_saw_it(running)


def test_another_connection_between_the_same_ends_is_left_alone(child: PrivilegedChild) -> None:
    script = CONNECT + "step()\nclient.sendall(b'on'), accepted.recv(2)"
    with namespace(script.format(host="127.0.0.1")) as running:
        meant = connection(running.told())
        other = replace(meant, cookie=meant.cookie + 1)
        assert child.destroy(other, running.pid).result == "gone"
        running.go_on()
        running.told()


def test_a_connection_is_not_found_in_the_namespace_of_another_process(
    child: PrivilegedChild,
) -> None:
    script = (CONNECT + LOOK).format(host="127.0.0.1")
    with namespace(script) as running, namespace("step()") as other:
        meant = connection(running.told())
        other.told()
        assert child.destroy(meant, other.pid).result == "gone"
        assert child.destroy(meant).result == "gone"
        assert child.destroy(meant, running.pid).result == "done"
        assert_both_ends_saw_it(running)
        other.go_on()


def test_a_second_time_it_is_gone(child: PrivilegedChild) -> None:
    with namespace((CONNECT + LOOK).format(host="127.0.0.1")) as running:
        meant = connection(running.told())
        assert child.destroy(meant, running.pid).result == "done"
        assert child.destroy(meant, running.pid).result == "gone"
        assert_both_ends_saw_it(running)


def test_what_a_process_that_ended_left_open_is_gone_where_nobody_has_it(
    child: PrivilegedChild,
) -> None:
    with namespace(CONNECT.format(host="127.0.0.1")) as running:
        meant = connection(running.told())
    assert child.destroy(meant, running.pid).result == "gone"


def test_hundreds_of_requests_leave_no_descriptor_behind(child: PrivilegedChild) -> None:
    each = (CONNECT + "step()").format(host="127.0.0.1").strip().splitlines()
    script = "for _ in range(300):\n" + "".join(f"    {line}\n" for line in each)
    with namespace(script) as running:
        before = os.listdir(f"/proc/{child.pid}/fd")
        for _ in range(300):
            assert child.destroy(connection(running.told()), running.pid).result == "done"
            running.go_on()
        assert os.listdir(f"/proc/{child.pid}/fd") == before
