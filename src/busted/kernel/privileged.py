"""A small process beside the monitor that keeps what ending connections and processes takes.

The monitor reads foreign bytes, so it gives its privileges up once it watches (kernel.lockdown),
and with them those to enter network namespaces, to destroy sockets and to signal others'
processes. This process never sees a foreign byte: its whole input are requests of the monitor,
of three kinds, and each is answered. It is started before the monitor locks itself down, locks
itself down to four capabilities, and ends with the monitor, however that ends.

Requests wait for their answer: half a millisecond each. One that is not answered in time, or whose
process is gone, is told as not possible; it never blocks the monitor, and never raises.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from busted.kernel.destroy import DONE, Outcome, TcpConnection, destroy
from busted.kernel.held_sockets import HeldSockets
from busted.kernel.hold import undecided
from busted.kernel.kill import kill
from busted.kernel.lockdown import filter_program, keep_only
from busted.records import ProcessKey

# A connection takes 0.5 ms, and a look through all of a busy host's 20: more means that it hangs.
DEADLINE_SECONDS = 0.5
# Starting Python takes 0.1 s, and seconds on a host that is busy.
START_SECONDS = 30.0
# A request or an answer is a few hundred bytes.
_MAX_MESSAGE = 4096
_PR_SET_PDEATHSIG = 1

CAPABILITIES = frozenset({"CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_KILL"})


class _Destroy(msgspec.Struct, frozen=True, tag=True):
    number: int
    connection: TcpConnection
    pid: int | None


class _Kill(msgspec.Struct, frozen=True, tag=True):
    number: int
    process: ProcessKey
    signal: int


class _MakeRoom(msgspec.Struct, frozen=True, tag=True):
    number: int
    pid: int
    cookie: int
    size: int


class _Answer(msgspec.Struct, frozen=True):
    number: int
    outcome: Outcome


_REQUESTS = msgspec.msgpack.Decoder(_Destroy | _Kill | _MakeRoom)
_ANSWERS = msgspec.msgpack.Decoder(_Answer)
_SOCKETS = HeldSockets()
# It has no request: the process tells that it is there.
_READY = _Answer(0, DONE)
_NO_CONNECTION = TcpConnection(bytes(16), 0, bytes(16), 0, 0)


class PrivilegedChild:
    """The process, as the monitor sees it."""

    def __init__(
        self,
        deadline_seconds: float = DEADLINE_SECONDS,
        holding: tuple[int, int, int] | None = None,
    ) -> None:
        """Start it. Raises OSError when it does not come up.

        `holding`: should the monitor die, it ends the connections that are held with these
        descriptors (`kernel.hold.HoldPrograms.kept`) before anything of them can leave.
        """
        self._deadline_seconds, self._number = deadline_seconds, 0
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        # Nothing of the monitor's environment is its business, nor (-P) are the modules of the
        # directory in which an operator happens to be.
        environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, *map(str, holding or ())],
                pass_fds=holding or (),
                env=environment,
                cwd="/",
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                # Ctrl-C is for the monitor, which may still need it.
                start_new_session=True,
            )
        answer = self._answer(_READY.number, time.monotonic() + START_SECONDS)
        if answer.result != "done":
            self.close()
            raise OSError(f"the process that enforces did not start: {answer.reason}")

    @property
    def pid(self) -> int:
        """Which process it is."""
        return self._process.pid

    def destroy(self, connection: TcpConnection, pid: int | None = None) -> Outcome:
        """As `kernel.destroy.destroy`."""
        self._number += 1
        return self._ask(_Destroy(self._number, connection, pid))

    def kill(self, process: ProcessKey, number: int = signal.SIGKILL) -> Outcome:
        """As `kernel.kill.kill`."""
        self._number += 1
        return self._ask(_Kill(self._number, process, number))

    def make_room(self, pid: int, cookie: int, size: int) -> bool:
        """As `kernel.held_sockets.HeldSockets.make_room`."""
        self._number += 1
        return self._ask(_MakeRoom(self._number, pid, cookie, size)).result == "done"

    def _ask(self, request: _Destroy | _Kill | _MakeRoom) -> Outcome:
        deadline = time.monotonic() + self._deadline_seconds
        try:
            self._socket.settimeout(self._deadline_seconds)
            self._socket.send(msgspec.msgpack.encode(request))
        except OSError as error:
            return Outcome("not_possible", f"the process that enforces: {error.strerror or error}")
        return self._answer(request.number, deadline)

    def _answer(self, number: int, deadline: float) -> Outcome:
        try:
            while (left := deadline - time.monotonic()) > 0:
                self._socket.settimeout(left)
                message = self._socket.recv(_MAX_MESSAGE)
                if not message:
                    return Outcome("not_possible", "the process that enforces has ended")
                answer = _ANSWERS.decode(message)
                # A late answer to what was given up is passed over.
                if answer.number == number:
                    return answer.outcome
        except TimeoutError:
            pass
        except (OSError, msgspec.DecodeError) as error:
            return Outcome("not_possible", f"the process that enforces: {error}")
        return Outcome("not_possible", "the process that enforces did not answer in time")

    def close(self) -> None:
        """End it."""
        self._socket.close()
        try:
            self._process.wait(self._deadline_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> None:
    """Answer requests on standard input, a socket, until nobody asks any more."""
    held_by = [int(fd) for fd in sys.argv[1:]]
    if not held_by:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Sent to all of a service at once, as systemd does: the monitor may still need it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    requests = socket.socket(fileno=sys.stdin.fileno())
    allowed = filter_program(platform.machine(), loads_programs=False, allowed={"setns"})
    try:
        keep_only(CAPABILITIES, allowed)
    except OSError as error:
        refused = Outcome("not_possible", f"it cannot give up privileges: {error.strerror}")
        requests.send(msgspec.msgpack.encode(_Answer(_READY.number, refused)))
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        # The kernel loads its module for this when it is first asked, which takes a while.
        destroy(_NO_CONNECTION)
        requests.send(msgspec.msgpack.encode(_READY))
        while message := requests.recv(_MAX_MESSAGE):
            request = _REQUESTS.decode(message)
            outcome = _carry_out(request)
            requests.send(msgspec.msgpack.encode(_Answer(request.number, outcome)))
    if held_by:
        # The link is the last thing to go, with this process.
        _, holds, permissions = held_by
        for connection, pid in undecided(holds, permissions):
            destroy(connection, pid)


def _carry_out(request: _Destroy | _Kill | _MakeRoom) -> Outcome:
    if isinstance(request, _Destroy):
        return destroy(request.connection, request.pid)
    if isinstance(request, _MakeRoom):
        made = _SOCKETS.make_room(request.pid, request.cookie, request.size)
        return DONE if made else Outcome("not_possible", "no such socket, or no privilege")
    return kill(request.process, request.signal, monitor=os.getppid())


if __name__ == "__main__":
    main()
