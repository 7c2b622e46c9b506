"""Name and image of a container, from the files that its runtime keeps.

No daemon is asked: the files are there before the container's first process runs, and a runtime
that hangs holds nobody up. Each runtime has its own few places below the root of the file system,
or, for a rootless one, below a user's home and run-time directory.

Whoever can write these files can say what they like: sizes are bounded, what is malformed is not
known, and a rootless container is looked for among the files of its own user only.

Left out: runtimes that were told to keep their state elsewhere (`data-root`, `graphroot`), rootless
containerd, whose state is in a mount namespace of its own, and images by digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from busted.enrich.containers_table import Runtime
from busted.enrich.files import read_file

# The configuration of a container has 10 to 100 KB; Podman's list has 1 KB for each container.
MAX_FILE_BYTES = 4 << 20
# Names and images are what people type; Kubernetes allows 253 characters for a pod, and an image
# has a host, a path of 255 at most (github.com/distribution/reference) and a tag of 128.
MAX_TEXT = 512
# Namespaces of containerd: "moby", "k8s.io", "default" and what projects make.
MAX_NAMESPACES = 64

T = TypeVar("T")


class ContainerFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was found out about a container; all but its id may be unknown."""

    id: str
    runtime: Runtime | None = None
    name: str | None = None
    image: str | None = None
    pod: str | None = None
    namespace: str | None = None
    pod_uid: str | None = None


class RuntimeFiles:
    """Reads what runtimes say of their containers."""

    def __init__(
        self, root: Path = Path("/"), home: Callable[[int], Path | None] = lambda uid: None
    ) -> None:
        """`home` names the home directory of a user; it is taken to be below `root`."""
        self._root, self._home = root, home

    def read(self, id: str, runtime: Runtime | None, user: int | None) -> ContainerFacts:
        """Return what is known of a container; `user` is whose it is, if rootless."""
        for name, reader in _READERS.items():
            if runtime in (name, None):
                found = reader(self, id, user)
                if found is not None:
                    return msgspec.structs.replace(found, runtime=name)
        return ContainerFacts(id, runtime)

    # Each runtime's own way

    def _docker(self, id: str, user: int | None) -> ContainerFacts | None:
        data = self._at_home(user, ".local/share/docker", "var/lib/docker")
        given = data and self._json(data / "containers" / id / "config.v2.json", _Docker, user)
        if not given:
            return None
        # Under cri-dockerd (and the kubelet of before 1.24) labels say which pod it is of.
        labels = given.Config.Labels or {}
        return ContainerFacts(
            id,
            name=_text(labels.get("io.kubernetes.container.name") or given.Name.removeprefix("/")),
            image=_text(given.Config.Image),
            pod=_text(labels.get("io.kubernetes.pod.name")),
            namespace=_text(labels.get("io.kubernetes.pod.namespace")),
            pod_uid=_text(labels.get("io.kubernetes.pod.uid")),
        )

    def _containerd(self, id: str, user: int | None) -> ContainerFacts | None:
        if user is not None:
            return None
        for state in ("run/containerd", "run/k3s/containerd"):
            for namespace in _directories(self._root / state / _CONTAINERD_TASKS):
                given = self._json(namespace / id / "config.json", _Oci, None)
                if given is not None:
                    notes = given.annotations or {}
                    return ContainerFacts(
                        id,
                        name=_text(
                            notes.get("io.kubernetes.cri.container-name")
                            or notes.get("nerdctl/name")
                        ),
                        image=_text(notes.get("io.kubernetes.cri.image-name")),
                        pod=_text(notes.get("io.kubernetes.cri.sandbox-name")),
                        namespace=_text(notes.get("io.kubernetes.cri.sandbox-namespace")),
                        pod_uid=_text(notes.get("io.kubernetes.cri.sandbox-uid")),
                    )
        return None

    def _crio(self, id: str, user: int | None) -> ContainerFacts | None:
        if user is not None:
            return None
        for storage in ("run/containers/storage", "var/lib/containers/storage"):
            path = self._root / storage / "overlay-containers" / id / "userdata/config.json"
            given = self._json(path, _Oci, None)
            notes = (given and given.annotations) or {}
            # Podman keeps the same file in the same place, without these notes.
            if notes.get("io.container.manager") == "cri-o":
                return ContainerFacts(
                    id,
                    name=_text(notes.get("io.kubernetes.container.name")),
                    image=_text(notes.get("io.kubernetes.cri-o.ImageName")),
                    pod=_text(notes.get("io.kubernetes.pod.name")),
                    namespace=_text(notes.get("io.kubernetes.pod.namespace")),
                    pod_uid=_text(notes.get("io.kubernetes.pod.uid")),
                )
        return None

    def _podman(self, id: str, user: int | None) -> ContainerFacts | None:
        kept = self._at_home(user, ".local/share/containers/storage", "var/lib/containers/storage")
        running = (
            self._root / "run/containers/storage"
            if user is None
            else self._root / f"run/user/{user}/containers"
        )
        # Those of `podman run --rm` are in the second (containers/storage, containers.go).
        lists = [running / "overlay-containers/volatile-containers.json"]
        if kept is not None:
            lists.insert(0, kept / "overlay-containers/containers.json")
        for path in lists:
            for given in self._json(path, list[_Stored], user) or ():
                if given.id == id:
                    said = _decode(given.metadata.encode(), _StoredMetadata) or _StoredMetadata()
                    name = said.name or next(iter(given.names or ()), None)
                    return ContainerFacts(id, name=_text(name), image=_text(said.image_name))
        return None

    def _at_home(self, user: int | None, of_user: str, of_host: str) -> Path | None:
        if user is None:
            return self._root / of_host
        home = self._home(user)
        return home and self._root / home.relative_to(home.anchor) / of_user

    def _json(self, path: Path, type: type[T], user: int | None) -> T | None:
        data = read_file(path, MAX_FILE_BYTES, user)
        return None if data is None else _decode(data, type)


# In the order in which they are asked where the path does not say whose a container is.
_READERS: dict[Runtime, Callable[[RuntimeFiles, str, int | None], ContainerFacts | None]] = {
    "docker": RuntimeFiles._docker,
    "cri-o": RuntimeFiles._crio,
    "podman": RuntimeFiles._podman,
    # Last: Docker's containers are containerd's, too, and tell less there.
    "containerd": RuntimeFiles._containerd,
}

_CONTAINERD_TASKS = "io.containerd.runtime.v2.task"


class _DockerConfig(msgspec.Struct):
    Image: str | None = None
    Labels: dict[str, str] | None = None


class _Docker(msgspec.Struct):
    """Of moby's container.Container, as config.v2.json has it."""

    Name: str = ""
    Config: _DockerConfig = msgspec.field(default_factory=_DockerConfig)


class _Oci(msgspec.Struct):
    """Of the configuration of a bundle (github.com/opencontainers/runtime-spec, config.md)."""

    annotations: dict[str, str] | None = None


class _Stored(msgspec.Struct):
    """A container in the lists of containers/storage; `metadata` is JSON of who made it."""

    id: str
    names: list[str] | None = None
    metadata: str = ""


class _StoredMetadata(msgspec.Struct, rename="kebab"):
    name: str | None = None
    image_name: str | None = None


def _decode(data: bytes, type: type[T]) -> T | None:
    try:
        return msgspec.json.decode(data, type=type)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _text(given: str | None) -> str | None:
    """Return a name as an event may have it; None for what is none."""
    return given if given and len(given) <= MAX_TEXT and given.isprintable() else None


def _directories(path: Path) -> Iterator[Path]:
    try:
        names = sorted(entry.name for entry in path.iterdir())[:MAX_NAMESPACES]
    except OSError:
        return
    yield from (path / name for name in names)
