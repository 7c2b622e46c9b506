"""Which container a process is in, by paths as runtimes write them and over made-up trees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.enrich import containers
from busted.enrich.containers import Cgroup, CgroupFacts, Containers, Facts, of_path, of_process
from busted.enrich.pods import PodFacts
from busted.enrich.runtime_files import ContainerFacts, RuntimeFiles
from busted.events import Coverage, Event, Process

ID, INNER = "ab" * 32, "cd" * 32
UID = "0b3e7a34-9a1c-4f0e-8a55-0123456789ab"
UNDERSCORES = UID.replace("-", "_")
START_TIME = "2026-11-22T14:03:22.000000000Z"

# As `docker run`, `podman run`, `nerdctl run` and kubelets with each runtime make them.
PATHS = {
    f"/system.slice/docker-{ID}.scope": Cgroup(ID, "docker"),
    f"/docker/{ID}": Cgroup(ID, "docker"),
    f"/docker/{ID}/init.scope": Cgroup(ID, "docker"),
    f"/system.slice/nerdctl-{ID}.scope": Cgroup(ID, "containerd"),
    f"/default/{ID}": Cgroup(ID, "containerd"),
    f"/machine.slice/libpod-{ID}.scope": Cgroup(ID, "podman"),
    f"/machine.slice/libpod-{ID}.scope/container": Cgroup(ID, "podman"),
    f"/machine.slice/machine-libpod_pod_{INNER}.slice/libpod-{ID}.scope": Cgroup(ID, "podman"),
    f"/libpod_parent/libpod-{ID}": Cgroup(ID, "podman"),
    f"/system.slice/web.service/libpod-payload-{ID}": Cgroup(ID, "podman"),
    f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container": Cgroup(
        ID, "podman", user=1000
    ),
    f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope": Cgroup(
        ID, "docker", user=1000
    ),
    f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDERSCORES}.slice/"
    f"cri-containerd-{ID}.scope": Cgroup(ID, "containerd", UID),
    f"/kubepods.slice/kubepods-pod{UNDERSCORES}.slice/crio-{ID}.scope/container": Cgroup(
        ID, "cri-o", UID
    ),
    f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UNDERSCORES}.slice/"
    f"docker-{ID}.scope": Cgroup(ID, "docker", UID),
    f"/kubepods/burstable/pod{UID}/{ID}": Cgroup(ID, None, UID),
    f"/kubepods/besteffort/pod{UID}/crio-{ID}": Cgroup(ID, "cri-o", UID),
    # A static pod, whose uid is a hash.
    f"/kubepods/burstable/pod{'9f' * 16}/{ID}": Cgroup(ID, None, "9f" * 16),
    # A path for systemd, taken for one of cgroupfs.
    f"/system.slice/containerd.service/kubepods-burstable-pod{UNDERSCORES}.slice:cri-containerd:"
    f"{ID}": Cgroup(ID, "containerd", UID),
    f"/ecs/{'1' * 32}/{ID}": Cgroup(ID),
    # From inside of a control group namespace that is beside it (cgroup_namespaces(7)).
    f"/../../system.slice/docker-{ID}.scope": Cgroup(ID, "docker"),
    # Docker in Docker, and kind: the innermost counts.
    f"/system.slice/docker-{ID}.scope/docker/{INNER}": Cgroup(INNER, "docker", nested=True),
    f"/docker/{ID}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{UNDERSCORES}.slice/"
    f"cri-containerd-{INNER}.scope": Cgroup(INNER, "containerd", UID, nested=True),
    # Not in a container.
    "/": Cgroup(),
    "": Cgroup(),
    "/user.slice/user-1000.slice/session-3.scope": Cgroup(),
    "/system.slice/docker.service": Cgroup(),
    f"/machine.slice/libpod-conmon-{ID}.scope": Cgroup(),
    f"/system.slice/crio-conmon-{ID}.scope": Cgroup(),
    f"/system.slice/docker-{ID[:-1]}.scope": Cgroup(),
    f"/system.slice/docker-{ID.upper()}.scope": Cgroup(),
    f"/kubepods.slice/kubepods-pod{UNDERSCORES}.slice": Cgroup(),
}


@pytest.mark.parametrize("path", PATHS)
def test_the_path_of_a_control_group_says_which_container_it_is_of(path: str) -> None:
    assert of_path(path) == PATHS[path]


@pytest.mark.parametrize(
    ("lines", "unified", "container"),
    [
        ([f"0::/system.slice/docker-{ID}.scope"], f"/system.slice/docker-{ID}.scope", ID),
        # Version 1 alone.
        ([f"12:pids:/docker/{ID}", f"1:name=systemd:/docker/{ID}"], None, ID),
        # Version 2 beside it, where systemd knows nothing of containers.
        ([f"4:memory:/docker/{ID}", "1:name=systemd:/", "0::/"], "/", ID),
        # Where both say something, what version 2 says counts.
        ([f"4:memory:/docker/{ID}", f"0::/docker/{INNER}"], f"/docker/{INNER}", INNER),
        ([f"0::/system.slice/docker-{ID}.scope (deleted)"], f"/system.slice/docker-{ID}.scope", ID),
        (["0::/init.scope"], "/init.scope", None),
        (["", "0", "::", "0::"], "", None),
    ],
)
def test_what_proc_says_of_a_process_is_read_in_each_layout(
    lines: list[str], unified: str | None, container: str | None
) -> None:
    told, group = of_process("\n".join(lines).encode() + b"\n")
    assert (told, group.container) == (unified, container)


@given(st.binary(max_size=400))
def test_any_bytes_in_the_place_of_control_groups_are_read(text: bytes) -> None:
    _, group = of_process(text)
    assert group.container is None or len(group.container) == 64


class Host:
    """A made-up /proc, control groups of version 2 and files of runtimes."""

    def __init__(self, directory: Path) -> None:
        self.proc, self.cgroups = directory / "proc", directory / "cgroup"
        self.proc.mkdir()
        self.cgroups.mkdir()
        self.now = 0.0
        self.found: list[Facts] = []
        self.containers = Containers(
            RuntimeFiles(directory),
            proc=self.proc,
            cgroups=self.cgroups,
            found=self.found.append,
            clock=lambda: self.now,
        )
        self.docker = directory / "var/lib/docker/containers"

    def group(self, path: str) -> str:
        """Make a control group; return its id."""
        directory = self.cgroups / path.lstrip("/")
        directory.mkdir(parents=True)
        return str(directory.stat().st_ino)

    def run(self, pid: int, *lines: str) -> None:
        (self.proc / str(pid)).mkdir()
        (self.proc / str(pid) / "cgroup").write_text("\n".join(lines) + "\n")

    def call(self, id: str, name: str, image: str) -> None:
        (self.docker / id).mkdir(parents=True)
        (self.docker / id / "config.v2.json").write_text(
            f'{{"Name": "/{name}", "Config": {{"Image": "{image}"}}}}'
        )


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    yield Host(tmp_path)


def event(pid: int = 7, cgroup_id: str | None = None, start_time: str = START_TIME) -> Event:
    process = Process(pid=pid, name="node", start_time=start_time, cgroup_id=cgroup_id)
    return Event(schema=1, id="1", time="", host="host", process=process, action=Coverage())


def test_an_event_tells_the_container_of_its_process(host: Host) -> None:
    path = f"/system.slice/docker-{ID}.scope"
    cgroup_id = host.group(path)
    host.run(7, f"0::{path}")
    host.call(ID, "web", "nginx:1.27")
    host.containers.look(7, START_TIME)

    process = host.containers(event(cgroup_id=cgroup_id)).process
    assert (process.container_id, process.container_runtime) == (ID, "docker")
    assert (process.container_name, process.image) == ("web", "nginx:1.27")
    assert (process.pod, process.labels) == (None, {})


def test_other_processes_of_a_container_need_no_look(host: Host) -> None:
    cgroup_id = host.group(f"/docker/{ID}")
    host.run(7, f"0::/docker/{ID}")
    host.containers.look(7, START_TIME)

    assert host.containers(event(8, cgroup_id, "later")).process.container_id == ID


def test_a_process_that_is_gone_is_found_by_its_control_group(host: Host) -> None:
    cgroup_id = host.group(f"/system.slice/other.service/docker/{ID}")
    host.containers.look(7, START_TIME)

    assert host.containers(event(cgroup_id=cgroup_id)).process.container_id == ID


def test_control_groups_are_looked_through_once_a_second_at_most(host: Host) -> None:
    gone, there = host.group("/gone"), host.group(f"/docker/{ID}")
    (host.cgroups / "gone").rmdir()

    assert host.containers(event(cgroup_id=gone)).process.container_id is None
    assert host.containers(event(cgroup_id=there)).process.container_id is None
    host.now += containers.LOOK_SECONDS
    assert host.containers(event(cgroup_id=there)).process.container_id == ID


def test_so_many_control_groups_are_looked_through_and_no_more(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "MAX_LOOKED_AT", 2)
    first, _, third = (host.group(f"/{n}-{ID}/docker-{ID}.scope") for n in range(3))

    assert host.containers(event(cgroup_id=third)).process.container_id is None
    assert host.containers(event(cgroup_id=first)).process.container_id is None


def test_a_process_outside_of_containers_has_none(host: Host) -> None:
    cgroup_id = host.group("/user.slice")
    host.run(7, "0::/user.slice")
    host.containers.look(7, START_TIME)

    assert host.containers(event(cgroup_id=cgroup_id)) == event(cgroup_id=cgroup_id)


def test_where_version_1_alone_knows_of_containers_processes_are_remembered(host: Host) -> None:
    root = str(host.cgroups.stat().st_ino)
    host.run(7, f"4:memory:/docker/{ID}", "0::/")
    host.run(8, "4:memory:/", "0::/")
    host.containers.look(7, START_TIME)
    host.containers.look(8, START_TIME)

    assert host.containers(event(7, root)).process.container_id == ID
    assert host.containers(event(8, root)).process.container_id is None
    assert host.containers(event(7, root, "another start")).process.container_id is None


def test_a_process_that_moves_into_a_container_is_looked_at_again(host: Host) -> None:
    host.run(7, "4:memory:/")
    host.containers.look(7, START_TIME)
    assert host.containers(event()).process.container_id is None

    (host.proc / "7/cgroup").write_text(f"4:memory:/docker/{ID}\n")
    host.containers.look(7, START_TIME)
    assert host.containers(event()).process.container_id == ID


def test_a_container_in_a_container_gets_no_name_from_the_files_of_the_host(host: Host) -> None:
    host.call(INNER, "bank", "bank:1")
    path = f"/docker/{ID}/docker/{INNER}"
    cgroup_id = host.group(path)
    host.run(7, f"0::{path}")
    host.containers.look(7, START_TIME)

    process = host.containers(event(cgroup_id=cgroup_id)).process
    assert (process.container_id, process.container_name) == (INNER, None)


def test_what_kubernetes_says_of_a_pod_comes_beside(host: Host) -> None:
    path = f"/kubepods/pod{UID}/{ID}"
    cgroup_id = host.group(path)
    host.run(7, f"0::{path}")
    host.containers.look(7, START_TIME)
    host.containers.pods.learn(
        PodFacts(
            UID,
            "web-0",
            "shop",
            service_account="web",
            owner="StatefulSet/web",
            labels={"app": "web"},
            containers={ID: ("server", "shop/web:3")},
        )
    )

    process = host.containers(event(cgroup_id=cgroup_id)).process
    assert (process.pod, process.namespace, process.owner) == ("web-0", "shop", "StatefulSet/web")
    assert (process.service_account, process.labels) == ("web", {"app": "web"})
    assert (process.container_name, process.image) == ("server", "shop/web:3")


def test_what_was_found_gives_the_same_where_nothing_can_be_looked_at(host: Host) -> None:
    host.call(ID, "web", "nginx:1.27")
    cgroup_id = host.group(f"/docker/{ID}")
    host.run(7, f"0::/docker/{ID}")
    host.run(8, f"4:memory:/docker/{INNER}")
    host.containers.look(7, START_TIME)
    host.containers.look(8, START_TIME)

    replayed = Containers(proc=host.proc)
    for facts in host.found:
        replayed.learn(facts)
    for one in (event(7, cgroup_id), event(8, "1")):
        assert host.containers(one).process.container_id
        assert replayed(one) == host.containers(one)


def test_the_files_of_a_container_are_read_once(host: Host) -> None:
    host.call(ID, "web", "nginx:1.27")
    for pid, path in enumerate((f"/docker/{ID}", f"/docker/{ID}/init.scope")):
        host.group(path)
        host.run(pid, f"0::{path}")
        host.containers.look(pid, START_TIME)

    about = [facts for facts in host.found if isinstance(facts, ContainerFacts)]
    assert about == [ContainerFacts(ID, "docker", "web", "nginx:1.27")]


def test_what_is_remembered_is_bounded(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MAX_GROUPS", 2)
    monkeypatch.setattr(containers, "MAX_CONTAINERS", 2)
    for number in range(3):
        host.containers.learn(CgroupFacts(Cgroup(f"{number:064}"), cgroup_id=str(number)))
        host.containers.learn(ContainerFacts(f"{number:064}", name="web"))

    def told() -> list[str | None]:
        return [host.containers(event(cgroup_id=str(n))).process.container_name for n in range(4)]

    assert told() == [None, "web", "web", None]
    # What was used last stays longest.
    host.containers(event(cgroup_id="1"))
    host.containers.learn(CgroupFacts(Cgroup("3" * 64), cgroup_id="3"))
    host.containers.learn(ContainerFacts("3" * 64, name="web"))
    assert told() == [None, "web", None, "web"]
