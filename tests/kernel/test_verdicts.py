"""What the kernel refuses and what it lets go on, in namespaces with addresses of their own.

192.0.2.0/24 and 2001:db8::/32 are for documentation (RFC 5737, RFC 3849): they lead nowhere else.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from busted.kernel.names import MOUNTS
from busted.kernel.processes import ProcessPrograms
from busted.kernel.shared import Buffer, SharedMaps
from busted.kernel.verdicts import ConnectVerdict, ConnectVerdicts
from busted.records import Flow, FlowOperation, ProcessKey, decode
from tests.e2e.deadline import until
from tests.e2e.sandbox import DIES_WITH_US, ROOT
from tests.kernel.namespace import Namespace, namespace, packed
from tests.requirements import require

pytestmark = pytest.mark.needs("kernel", "cgroups", "netns cookie", "unshare")

MINUTE_NS = 60_000_000_000
# Two servers, and what a client gets that asks for one; "192.0.2.1" for short is the first.
PROLOGUE = """
import time
for address in ("192.0.2.1/32", "192.0.2.2/32", "169.254.7.7/32"):
    assert os.system(f"ip address add {address} dev lo") == 0
assert os.system("ip -6 address add 2001:db8::1/128 dev lo nodad") == 0
# On a busy machine its route comes a moment later.
deadline = time.monotonic() + 60
while True:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect(("2001:db8::1", 9))
            break
        except OSError:
            assert time.monotonic() < deadline
listening = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
port = listening.getsockname()[1]
datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
datagrams.bind(("::", port))
local = socket.socket(socket.AF_UNIX)
local.bind(b"\\0busted-test-%d" % os.getpid()), local.listen()
NETNS_COOKIE = 71
told |= dict(port=port, netns=int.from_bytes(listening.getsockopt(1, NETNS_COOKIE, 8), "little"))
def got(act):
    try:
        act()
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]
def connect(address, family=None):
    with socket.socket(family or (socket.AF_INET6 if ":" in address else socket.AF_INET)) as s:
        return got(lambda: s.connect((address, port)))
def send(address, family=None):
    kind = family or (socket.AF_INET6 if ":" in address else socket.AF_INET)
    with socket.socket(kind, socket.SOCK_DGRAM) as s:
        return got(lambda: s.sendto(b"x", (address, port)))
def join(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return got(lambda: s.connect((address, port)))
def reach():
    with socket.socket(socket.AF_UNIX) as s:
        return got(lambda: s.connect(b"\\0busted-test-%d" % os.getpid()))
step()
"""
FIRST, SECOND, SIXTH, LINK = "192.0.2.1", "192.0.2.2", "2001:db8::1", "169.254.7.7"


class Refusing:
    """The programs, and what a script sees of them."""

    def __init__(self, shared: SharedMaps, verdicts: ConnectVerdicts) -> None:
        self.shared, self.verdicts = shared, verdicts

    def flows(self) -> list[Flow]:
        found = [decode(raw) for raw in self.shared.ring.read()]
        return [record for record in found if isinstance(record, Flow)]


@contextmanager
def refusing(
    buffer: Buffer = "ring", *, link_local: bool = False, mounts: Path = MOUNTS
) -> Iterator[Refusing]:
    with ExitStack() as opened:
        shared = opened.enter_context(closing(SharedMaps(1 << 20, buffer)))
        verdicts = ConnectVerdicts(shared, link_local=link_local, mounts=mounts)
        yield Refusing(shared, opened.enter_context(closing(verdicts)))


@pytest.fixture
def kernel() -> Iterator[Refusing]:
    with refusing() as running:
        yield running


def in_a_minute() -> int:
    return time.monotonic_ns() + MINUTE_NS


def process_key(pid: int) -> ProcessKey:
    """A process as the kernel knows it: /proc has its start in ticks of 10 ms only."""
    with closing(SharedMaps(1 << 12)) as shared, closing(ProcessPrograms(shared, ())) as programs:
        (key,) = (found.key for found in programs.running() if found.key.pid == pid)
    return key


@contextmanager
def asking(script: str) -> Iterator[tuple[Namespace, dict[str, Any]]]:
    with namespace(PROLOGUE + script) as running:
        yield running, running.told()


def to(told: dict[str, Any], address: str, process: ProcessKey | None = None) -> ConnectVerdict:
    return ConnectVerdict(process, packed(address), told["port"], told["netns"])


ALL = """
told |= dict(first=connect("192.0.2.1"), second=connect("192.0.2.2"), sixth=connect("2001:db8::1"),
    mapped=connect("::ffff:192.0.2.1", socket.AF_INET6), loopback=connect("127.0.0.1"),
    loopback6=connect("::1"), local=reach(), link=connect("169.254.7.7"), any=connect("0.0.0.0"))
"""
DONE = dict.fromkeys(
    ("first", "second", "sixth", "mapped", "loopback", "loopback6", "local", "link", "any"), "done"
)


def answers(told: dict[str, Any]) -> dict[str, str]:
    return {name: told[name] for name in DONE}


@pytest.mark.parametrize(
    ("address", "denied"),
    [(FIRST, {"first", "mapped"}), (SECOND, {"second"}), (SIXTH, {"sixth"})],
)
def test_only_the_denied_address_is_refused(
    address: str, denied: set[str], kernel: Refusing
) -> None:
    with asking(ALL) as (running, told):
        kernel.verdicts.deny(to(told, address), in_a_minute())
        running.go_on()
        assert answers(running.told()) == DONE | dict.fromkeys(denied, "EPERM")
    assert kernel.verdicts.refused() == len(denied)


def test_another_port_of_the_address_is_open(kernel: Refusing) -> None:
    with asking(ALL) as (running, told):
        kernel.verdicts.deny(to(told | {"port": told["port"] ^ 1}, FIRST), in_a_minute())
        running.go_on()
        assert answers(running.told()) == DONE


def test_the_same_address_in_another_namespace_is_open(kernel: Refusing) -> None:
    with asking(ALL) as (running, told), asking(ALL) as (other, _):
        kernel.verdicts.deny(to(told, FIRST), in_a_minute())
        running.go_on()
        other.go_on()
        assert answers(running.told())["first"] == "EPERM"
        assert answers(other.told()) == DONE


def test_the_lsm_hook_does_it_where_there_is_no_root_of_the_cgroups() -> None:
    require("lsm")
    with refusing(mounts=Path(os.devnull)) as kernel, asking(ALL) as (running, told):
        assert not kernel.verdicts.at_cgroups
        for address in (FIRST, SIXTH, "127.0.0.1", "::1", LINK):
            kernel.verdicts.deny(to(told, address), in_a_minute(), errno.ECONNREFUSED)
        running.go_on()
        refused = dict.fromkeys(("first", "mapped", "sixth"), "ECONNREFUSED")
        assert answers(running.told()) == DONE | refused
        assert {flow.error for flow in kernel.flows()} == {errno.ECONNREFUSED}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::", LINK])
def test_what_stays_on_this_host_or_link_is_never_refused(address: str, kernel: Refusing) -> None:
    with asking(ALL) as (running, told):
        kernel.verdicts.deny(to(told, address), in_a_minute())
        running.go_on()
        assert answers(running.told()) == DONE


def test_addresses_of_the_link_are_refused_where_the_operator_says_so() -> None:
    with refusing(link_local=True) as kernel, asking(ALL) as (running, told):
        kernel.verdicts.deny(to(told, LINK), in_a_minute())
        kernel.verdicts.deny(to(told, "127.0.0.1"), in_a_minute())
        running.go_on()
        assert answers(running.told()) == DONE | {"link": "EPERM"}


def test_the_process_gets_the_error_that_the_verdict_names(kernel: Refusing) -> None:
    if not kernel.verdicts.any_error:
        pytest.skip("before Linux 6.1 it is always EPERM")
    with asking(ALL) as (running, told):
        kernel.verdicts.deny(to(told, FIRST), in_a_minute(), errno.ECONNREFUSED)
        kernel.verdicts.deny(to(told, SIXTH), in_a_minute(), errno.ENETUNREACH)
        running.go_on()
        assert answers(running.told()) == DONE | {
            "first": "ECONNREFUSED", "mapped": "ECONNREFUSED", "sixth": "ENETUNREACH"
        }  # fmt: skip


def test_datagrams_are_refused_connected_and_not(kernel: Refusing) -> None:
    script = """
told |= dict(sent=send("192.0.2.1"), sent6=send("2001:db8::1"), joined=join("192.0.2.1"),
    mapped=send("::ffff:192.0.2.1", socket.AF_INET6), second=send("192.0.2.2"))
"""
    with asking(script) as (running, told):
        kernel.verdicts.deny(to(told, FIRST), in_a_minute())
        kernel.verdicts.deny(to(told, SIXTH), in_a_minute())
        running.go_on()
        told = running.told()
    refused = {name for name in ("sent", "sent6", "joined", "mapped") if told[name] == "EPERM"}
    assert (refused, told["second"]) == ({"sent", "sent6", "joined", "mapped"}, "done")


def test_other_ways_to_connect_are_refused_too(kernel: Refusing) -> None:
    # Data with the SYN (RFC 7413), and several paths (RFC 8684; not in every kernel).
    script = """
MPTCP, FAST_OPEN = 262, 0x20000000
def fast():
    with socket.socket() as s:
        return got(lambda: s.sendto(b"x", FAST_OPEN, ("192.0.2.1", port)))
def paths():
    try:
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP)
    except OSError:
        return None
    with s:
        return got(lambda: s.connect(("192.0.2.1", port)))
told |= dict(fast=fast(), paths=paths())
"""
    with asking(script) as (running, told):
        kernel.verdicts.deny(to(told, FIRST), in_a_minute())
        running.go_on()
        told = running.told()
    assert told["fast"] == "EPERM"
    assert told["paths"] in ("EPERM", None)


def test_a_verdict_ends_by_its_time_with_nobody_there_to_end_it(kernel: Refusing) -> None:
    script = """
until = time.monotonic() + 60
asked = []
while not asked or asked[-1] == "EPERM":
    asked.append(connect("192.0.2.1"))
    assert time.monotonic() < until, "it never ends"
told |= dict(first=asked[0], last=asked[-1], ended=time.monotonic_ns())
"""
    with asking("import time\n" + script) as (running, told):
        end = time.monotonic_ns() + 300_000_000
        kernel.verdicts.deny(to(told, FIRST), end)
        running.go_on()
        told = running.told()
    assert (told["first"], told["last"]) == ("EPERM", "done")
    assert told["ended"] >= end


TWICE = """
told["first"] = connect("192.0.2.1")
step()
told["first"] = connect("192.0.2.1")
"""


@pytest.mark.parametrize("take_back", ["clear", "allow", "detach"])
def test_nothing_is_refused_once_it_is_taken_back(take_back: str) -> None:
    with refusing() as kernel, asking(TWICE) as (running, told):
        verdict = to(told, FIRST)
        kernel.verdicts.deny(verdict, in_a_minute())
        running.go_on()
        assert running.told()["first"] == "EPERM"
        if take_back == "allow":
            kernel.verdicts.allow(verdict)
        else:
            getattr(kernel.verdicts, take_back)()
        running.go_on()
        assert running.told()["first"] == "done"
        if take_back in ("clear", "allow"):
            assert (kernel.verdicts.count(), kernel.verdicts.refused()) == (0, 1)


def test_a_verdict_that_is_given_again_keeps_its_count_and_has_its_new_end(
    kernel: Refusing,
) -> None:
    with asking(TWICE) as (running, told):
        kernel.verdicts.deny(to(told, FIRST), in_a_minute())
        running.go_on()
        assert running.told()["first"] == "EPERM"
        kernel.verdicts.deny(to(told, FIRST), time.monotonic_ns())
        assert (kernel.verdicts.count(), kernel.verdicts.refused()) == (1, 1)
        running.go_on()
        assert running.told()["first"] == "done"
        kernel.verdicts.expire(time.monotonic_ns())
        assert (kernel.verdicts.count(), kernel.verdicts.refused()) == (0, 1)


# The child asks what its parent asks, at the same steps.
FAMILY = """
def all_of():
    return [connect("192.0.2.1"), connect("192.0.2.2"), connect("127.0.0.1")]
def in_child():
    there, here = os.pipe()
    if (child := os.fork()) == 0:
        os.write(here, json.dumps(all_of()).encode())
        os._exit(0)
    os.close(here), os.waitpid(child, 0)
    return json.loads(os.read(there, 1000))
told |= dict(own=all_of(), child=in_child())
"""
OPEN = ["done", "done", "done"]


def test_a_denied_agent_and_its_children_are_refused_and_nobody_else(kernel: Refusing) -> None:
    programs = closing(ProcessPrograms(kernel.shared, ()))
    with programs, asking(FAMILY) as (agent, told), asking(FAMILY) as (other, _):
        key = process_key(agent.pid)
        kernel.shared.name_agent(key)
        kernel.verdicts.deny(ConnectVerdict(key), in_a_minute())
        agent.go_on()
        other.go_on()
        told, others = agent.told(), other.told()
    assert told["own"] == told["child"] == ["EPERM", "EPERM", "done"]
    assert others["own"] == others["child"] == OPEN


def test_an_agent_is_denied_one_destination(kernel: Refusing) -> None:
    with closing(ProcessPrograms(kernel.shared, ())), asking(FAMILY) as (agent, told):
        key = process_key(agent.pid)
        kernel.shared.name_agent(key)
        kernel.verdicts.deny(to(told, FIRST, key), in_a_minute())
        agent.go_on()
        told = agent.told()
    assert told["own"] == told["child"] == ["EPERM", "done", "done"]


def test_a_process_of_no_agent_is_denied_without_its_children(kernel: Refusing) -> None:
    with asking(FAMILY) as (running, told):
        kernel.verdicts.deny(to(told, FIRST, process_key(running.pid)), in_a_minute())
        running.go_on()
        told = running.told()
    assert (told["own"], told["child"]) == (["EPERM", "done", "done"], OPEN)


@pytest.mark.parametrize("agent", [True, False])
def test_a_process_that_has_the_pid_of_a_denied_one_is_not_refused(
    agent: bool, kernel: Refusing
) -> None:
    with asking(FAMILY) as (running, told):
        key = process_key(running.pid)
        before = key._replace(start_ns=key.start_ns - 1)
        if agent:
            kernel.shared.name_agent(key)
        kernel.verdicts.deny(ConnectVerdict(before), in_a_minute())
        kernel.verdicts.deny(to(told, FIRST, before), in_a_minute())
        running.go_on()
        assert running.told()["own"] == OPEN


ORPHAN = """
step_of_agent, go_on = os.pipe()
step_of_orphan, go_on_alone = os.pipe()
heard, told_by = os.pipe()
if (agent := os.fork()) == 0:
    os.read(step_of_agent, 1)
    if os.fork() == 0:
        os.read(step_of_orphan, 1)
        os.write(told_by, json.dumps(all_of()).encode())
    os._exit(0)
told["agent"] = agent
step()
os.write(go_on, b"x")
os.waitpid(agent, 0)
os.write(go_on_alone, b"x")
told["orphan"] = json.loads(os.read(heard, 1000))
"""


def test_the_child_of_a_denied_agent_that_ended_is_still_refused(kernel: Refusing) -> None:
    script = FAMILY.partition("def in_child")[0] + ORPHAN
    with closing(ProcessPrograms(kernel.shared, ())), asking(script) as (running, _):
        running.go_on()
        key = process_key(running.told()["agent"])
        kernel.shared.name_agent(key)
        kernel.verdicts.deny(ConnectVerdict(key), in_a_minute())
        running.go_on()
        assert running.told()["orphan"] == ["EPERM", "EPERM", "done"]


@pytest.mark.parametrize("buffer", ["ring", "perf"])
def test_what_was_refused_is_told_with_who_where_and_why(buffer: Buffer) -> None:
    require(f"{buffer} buffer")
    script = """
told |= dict(uid=os.getuid(), first=connect("192.0.2.1"), joined=join("192.0.2.1"))
"""
    with refusing(buffer) as kernel, asking(script) as (running, told):
        kernel.verdicts.deny(to(told, FIRST), in_a_minute())
        before = time.monotonic_ns()
        running.go_on()
        told = running.told()
        found: list[Flow] = []

        def is_told() -> bool:
            found.extend(kernel.flows())
            return bool(found)

        until(is_told, "it is told")
        assert (kernel.shared.lost(), kernel.verdicts.refused()) == ({}, 2)
        key = process_key(running.pid)
    # The one of UDP is counted and not told.
    (flow,) = found
    assert (flow.operation, flow.role, flow.error) == (
        FlowOperation.REFUSED, FlowOperation.CONNECT, errno.EPERM
    )  # fmt: skip
    assert (flow.key, flow.uid, flow.agent, flow.transport) == (key, told["uid"], False, 6)
    assert (flow.remote, flow.remote_port, flow.netns) == (
        packed(FIRST), told["port"], told["netns"]
    )  # fmt: skip
    assert before <= flow.time_ns == flow.opened_ns <= time.monotonic_ns()
    assert flow.comm
    assert flow.cookie


def test_a_process_that_tries_all_the_time_is_told_now_and_then_and_counted_each_time(
    kernel: Refusing,
) -> None:
    script = "told['refused'] = sum(connect('192.0.2.1') == 'EPERM' for _ in range(20_000))"
    with asking(script) as (running, told):
        kernel.verdicts.deny(to(told, FIRST), in_a_minute())
        before = time.monotonic_ns()
        running.go_on()
        assert running.told()["refused"] == 20_000
        took_ns = time.monotonic_ns() - before
        flows = kernel.flows()
    assert kernel.verdicts.refused() == 20_000
    assert 0 < len(flows) <= took_ns // 10_000_000 + 1
    assert kernel.shared.lost() == {}


def test_the_programs_of_others_at_the_same_place_stay() -> None:
    with refusing() as theirs, asking(TWICE) as (running, told):
        theirs.verdicts.deny(to(told, FIRST), in_a_minute())
        with refusing() as ours:
            ours.verdicts.deny(to(told, SECOND), in_a_minute())
            running.go_on()
            assert running.told()["first"] == "EPERM"
        running.go_on()
        assert running.told()["first"] == "EPERM"


def test_a_full_table_is_told_and_refuses_nothing_more(kernel: Refusing) -> None:
    with pytest.raises(OSError) as refused:
        for number in range(8193):
            key = ConnectVerdict(None, packed(FIRST), number % 65536, number)
            kernel.verdicts.deny(key, in_a_minute())
    assert refused.value.errno in (errno.E2BIG, errno.ENOSPC)
    assert kernel.verdicts.count() == 8192
    kernel.verdicts.clear()
    kernel.verdicts.deny(ConnectVerdict(None, packed(FIRST), 1, 1), in_a_minute())


UNTIL_OPEN = (
    "while told.get('first') != 'done':\n    told['first'] = connect('192.0.2.1')\n    step()"
)


def test_nothing_stays_of_a_monitor_that_is_killed() -> None:
    holder = """
import sys, time
from busted.kernel.shared import SharedMaps
from busted.kernel.verdicts import ConnectVerdict, ConnectVerdicts
verdicts = ConnectVerdicts(SharedMaps(1 << 16))
address, port, netns = bytes.fromhex(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
verdicts.deny(ConnectVerdict(None, address, port, netns), time.monotonic_ns() + 3600 * 10**9)
print("denied", flush=True)
time.sleep(600)
"""
    with asking(UNTIL_OPEN) as (running, told):
        command = [*DIES_WITH_US, sys.executable, "-c", holder, packed(FIRST).hex()]
        command += [str(told["port"]), str(told["netns"])]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as monitor:
            assert monitor.stdout is not None
            assert monitor.stdout.readline() == b"denied\n"
            running.go_on()
            assert running.told()["first"] == "EPERM"
            monitor.kill()

        def open_again() -> bool:
            running.go_on()
            return bool(running.told()["first"] == "done")

        until(open_again, "it is refused no more")
