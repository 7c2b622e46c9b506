"""The means of enforcement, opened: what of them there is on this host, and why not the rest.

They take privileges that the monitor gives up once it watches, so they are opened before. What
cannot be opened is left out with its reason, and whoever asks for it is told so.
"""

from __future__ import annotations

import contextlib

from busted.agent.enforcement import Means
from busted.kernel.destroy import DONE, Outcome
from busted.kernel.libbpf import BpfError
from busted.kernel.privileged import PrivilegedChild
from busted.kernel.shared import SharedMaps
from busted.kernel.verdicts import ConnectVerdict, ConnectVerdicts
from busted.records import ProcessKey


class OpenedMeans:
    """The child that ends connections and processes, and the programs that refuse connections.

    `left_out` holds what is not there, with the reason.
    """

    def __init__(
        self,
        shared: SharedMaps,
        *,
        link_local: bool = False,
        holding: tuple[int, int, int] | None = None,
    ) -> None:
        """Open what can be opened; never raises on what this host lacks.

        `holding` is as in `kernel.privileged.PrivilegedChild`.
        """
        self.left_out: dict[str, str] = {}
        self._child: PrivilegedChild | None = None
        self._verdicts: ConnectVerdicts | None = None
        try:
            self._child = PrivilegedChild(holding=holding)
        except OSError as error:
            self.left_out["destroy_and_kill"] = str(error)
        try:
            self._verdicts = ConnectVerdicts(shared, link_local=link_local)
            self.left_out |= self._verdicts.left_out
        except OSError as error:
            self.left_out["connect_verdicts"] = error.strerror or str(error)
        child = self._child
        self.means = Means(
            destroy=child.destroy if child else lambda *_: self._lacks("destroy_and_kill"),
            kill=child.kill if child else self._cannot_kill,
            refuse=self._refuse,
            permit=self._permit,
        )

    def make_room(self, pid: int, cookie: int, size: int) -> bool:
        """As `kernel.held_sockets.HeldSockets.make_room`, which takes privileges."""
        return self._child is not None and self._child.make_room(pid, cookie, size)

    def _lacks(self, what: str) -> Outcome:
        return Outcome("not_possible", self.left_out[what])

    def _cannot_kill(self, process: ProcessKey) -> Outcome:
        return self._lacks("destroy_and_kill")

    def _refuse(self, verdict: ConnectVerdict, until_ns: int) -> Outcome:
        if self._verdicts is None:
            return self._lacks("connect_verdicts")
        try:
            self._verdicts.deny(verdict, until_ns)
        except BpfError as error:
            return Outcome("not_possible", f"no verdict: {error.strerror}")
        return DONE

    def _permit(self, verdict: ConnectVerdict) -> None:
        if self._verdicts:
            self._verdicts.allow(verdict)

    def expire(self, now_ns: int) -> None:
        """Make room in the kernel: let go of verdicts whose end has come."""
        if self._verdicts:
            self._verdicts.expire(now_ns)

    def refused(self) -> int:
        """Return how many connections the kernel refused so far."""
        with contextlib.suppress(BpfError):
            return self._verdicts.refused() if self._verdicts else 0
        return 0

    def detach(self) -> None:
        """Have the kernel refuse nothing any more."""
        if self._verdicts:
            self._verdicts.detach()

    def close(self) -> None:
        """Let go of everything."""
        if self._verdicts:
            self._verdicts.close()
        if self._child:
            self._child.close()
