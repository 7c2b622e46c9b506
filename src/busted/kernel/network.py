"""The programs that follow flows, loaded: what is wanted of them, and how a flow stands.

Strategy: `tp_btf/inet_sock_set_state` serves every kernel and is all that connections, their end
and their bytes need. `tcp_connect`, `tcp_sendmsg`, `tcp_recvmsg` and `tcp_close` would add a cost
to each call and nothing to know, so they are not probed. Seeing accept(2) return takes a kernel
that lets functions be probed: fexit, else kretprobe, else the listening process stands for it.

What the kernel cannot do is left out, and `left_out` says why.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Literal

from busted import records
from busted.kernel.features import Features
from busted.kernel.libbpf import Link
from busted.kernel.names import MOUNTS, open_root
from busted.kernel.shared import SharedMaps

Network = Literal["all", "ai"]
"""Which flows are told without being asked for."""

# program: (the kind of program, as `features.try_programs` names it)
_ACCEPTS = {"flow_accept_exit": "fentry", "flow_accept_return": "kprobe"}
_COOKIE = struct.Struct("<Q")


class FlowPrograms:
    """The loaded object and its links. Raises BpfError when the kernel refuses.

    `left_out` holds the programs that are not there, with the reason.
    """

    def __init__(
        self,
        shared: SharedMaps,
        network: Network,
        features: Features,
        kinds: Features,
        mounts: Path = MOUNTS,
        *,
        traffic: bool = False,
    ) -> None:
        """Load and attach; `kinds` are the answers of `features.try_programs`.

        `traffic`: how connections move what they move is told, each time that `look_at_traffic`
        found enough.
        """
        self.left_out: dict[str, str] = {}
        self._links: list[Link] = []
        self._object = shared.open("net")
        cookies = features.has("socket cookie")
        accept = self._choose_accept(kinds)
        self._looks = self._choose("flow_look", features, "raw tracepoint run")
        present = self._choose("flow_present", features, "socket cookie")
        # Unwanted, it is no program that is missing.
        traffic = traffic and self._choose("flow_traffic", features, "map iterator")
        older = () if cookies else ("flow_create", "flow_operation")
        for program in older:
            self._object.autoload(program, True)
        self._object.settings(
            records.FLOW_SETTINGS.pack(
                os.getpid(), network == "all", cookies, accept is not None, traffic
            )
        )
        try:
            self._object.load()
            self._attach_to_root(older, mounts)
            if accept:
                self._links.append(self._object.attach(accept))
            self._links.append(self._object.attach("flow_state"))
            # Attached first: what opens meanwhile is not missed, and what is known stays.
            if present:
                self._object.read_iterator("flow_present")
            self._traffic: Link | None = None
            if traffic:
                self._followed = self._object.map("traffic")
                self._traffic = self._object.attach_iterator("flow_traffic", self._followed)
                self._links.append(self._traffic)
        except OSError:
            self.close()
            raise
        self._flows, self._closed = self._object.map("flows"), self._object.map("closed")
        self._wanted_addresses = self._object.map("wanted_addresses")
        self._wanted_flows = self._object.map("wanted_flows")

    def _choose_accept(self, kinds: Features) -> str | None:
        for program, kind in _ACCEPTS.items():
            if kinds.has(kind):
                self._object.autoload(program, True)
                return program
        self.left_out["flow_accept_exit"] = (
            "this kernel lets neither fexit nor kretprobe programs see accept(2) return: "
            "a flow that came in is that of the listening process until it closes"
        )
        return None

    def _choose(self, program: str, features: Features, feature: str) -> bool:
        has = features.has(feature)
        self._object.autoload(program, has)
        if not has:
            self.left_out[program] = f"needs Linux {features.answers[feature].since}"
        return has

    def _attach_to_root(self, programs: tuple[str, ...], mounts: Path) -> None:
        if not programs:
            return
        try:
            root = open_root(mounts)
        except OSError as error:
            self.left_out |= dict.fromkeys(programs, error.strerror or str(error))
            return
        try:
            self._links += [self._object.attach_cgroup(program, root) for program in programs]
        finally:
            os.close(root)

    def want_address(self, netns: int, address: bytes) -> None:
        """Have flows to an address told: 16 bytes, IPv4 as IPv4-mapped IPv6. Raises BpfError."""
        self._wanted_addresses.update(records.WANTED_ADDRESS.pack(netns, address), b"\1")

    def want(self, cookie: int) -> None:
        """Have the end of a flow told. Raises BpfError."""
        self._wanted_flows.update(_COOKIE.pack(cookie), b"\1")

    def look(self, cookie: int) -> bytes | None:
        """Return a record of how a flow stands, also shortly after its end; None: not known.

        Raises BpfError.
        """
        if self._looks:
            self._object.run("flow_look", cookie)
        key = _COOKIE.pack(cookie)
        value = self._flows.lookup(key) or self._closed.lookup(key)
        return None if value is None else value[: records.FLOW.size]

    @property
    def follows_traffic(self) -> bool:
        """Whether `look_at_traffic` does anything."""
        return self._traffic is not None

    def look_at_traffic(self) -> None:
        """Have a slice of each connection taken: what it moved since the last call.

        Raises BpfError.
        """
        # That no connection is followed is cheaper to find out, as nearly always on an idle host.
        if self._traffic and not self._followed.is_empty:
            self._object.run_iterator(self._traffic)

    def detach(self) -> None:
        """Remove the programs; what the ring holds can still be read."""
        self._traffic = None
        for link in self._links:
            link.close()
        self._links.clear()

    def close(self) -> None:
        """Detach and unload everything."""
        self.detach()
        self._object.close()
