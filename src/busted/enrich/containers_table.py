"""How container runtimes name the control groups of their containers.

A row is a pattern for one part of a path, between two slashes, and the runtime that writes such
names. Each has its `id` in a group of that name: 64 hexadecimal digits, as all these runtimes give
them. A part that is nothing but an id is a container's wherever it stands, but only its parents,
or the runtime's own files, say whose.

Not here: names that follow no rule, as `ctr run`, LXC and systemd-nspawn have them; the scopes of
conmon, which are beside a container and not in it, match no row.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Runtime = Literal["docker", "containerd", "cri-o", "podman"]


class Name(msgspec.Struct, frozen=True):
    """How one runtime calls the control group of a container; None: several do."""

    pattern: str
    runtime: Runtime | None


_ID = r"(?P<id>[0-9a-f]{64})"

NAMES = (
    # Docker and containerd by systemd: "docker-" and "cri-containerd-" are scope prefixes that they
    # hand to runc (moby daemon/daemon_unix.go, containerd internal/cri/util/util.go).
    Name(rf"docker-{_ID}\.scope", "docker"),
    Name(rf"cri-containerd-{_ID}\.scope", "containerd"),
    # github.com/containerd/nerdctl pkg/cmd/container/run_cgroup_linux.go
    Name(rf"nerdctl-{_ID}\.scope", "containerd"),
    # CRI-O (internal/config/cgmgr): a scope by systemd, a plain name by cgroupfs.
    Name(rf"crio-{_ID}(?:\.scope)?", "cri-o"),
    # Podman (libpod/container_internal_linux.go): the same, and "payload" where a systemd unit has
    # its container in the cgroup of the unit (--cgroups=split).
    Name(rf"libpod-(?:payload-)?{_ID}(?:\.scope)?", "podman"),
    # A path that was written for systemd, "slice:prefix:name", and that runc was told to take for
    # one of cgroupfs: then the name has the colons (runc docs/systemd.md).
    Name(rf"[^/]*:docker:{_ID}", "docker"),
    Name(rf"[^/]*:(?:cri-containerd|nerdctl):{_ID}", "containerd"),
    Name(rf"[^/]*:crio:{_ID}", "cri-o"),
    Name(rf"[^/]*:libpod:{_ID}", "podman"),
    # By cgroupfs: under /docker, a pod, a namespace of containerd, /ecs/<task>, ...
    Name(_ID, None),
)

# By cgroupfs the parent says whose a plain id is: Docker's own, and containerd's namespace that
# nerdctl uses where none is given.
PARENTS: dict[str, Runtime] = {"docker": "docker", "default": "containerd"}

# The kubelet's (k8s.io/kubernetes pkg/kubelet/cm): "pod<uid>" by cgroupfs; by systemd, where a dash
# is a level and the uid has underscores, "kubepods-burstable-pod<uid>.slice". The uid of a static
# pod is a hash of its configuration, without dashes.
POD = (
    r"(?:^|-)pod(?P<uid>[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})"
    r"(?:\.slice)?(?:$|:)"
)

# systemd's slice of a user, in which rootless containers run (systemd.special(7), user-UID.slice).
USER = r"user-(?P<uid>\d{1,10})\.slice"
