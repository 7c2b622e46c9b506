"""User, container and pod of events, with real control groups named as runtimes name them."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from busted.kernel.names import open_root
from tests.e2e.bed import CLIENTS, Bed
from tests.e2e.deadline import until
from tests.e2e.examples import PROMPT
from tests.e2e.monitor import Event, Monitor, replay
from tests.kubernetes.watch_server import WatchServer, pod, serving
from tests.requirements import require

DEADLINE_SECONDS = 20.0
POD_UID = str(uuid4())
TOKEN = "a" * 40


@pytest.fixture(autouse=True)
def needs_kernel() -> None:
    require("e2e", "writable cgroups")


class Container:
    """A control group as a runtime makes it, and what a runtime says of it."""

    def __init__(self, path: str) -> None:
        self.id = uuid4().hex * 2
        root = open_root()
        try:
            self._root = Path(os.readlink(f"/proc/self/fd/{root}"))
        finally:
            os.close(root)
        self._made: list[Path] = []
        self.directory = self._root / path.format(id=self.id)
        for directory in reversed([self.directory, *self.directory.parents]):
            if not directory.exists():
                directory.mkdir()
                self._made.append(directory)

    def command(self, command: Sequence[str]) -> list[str]:
        """A command that runs in there, as the same process."""
        enter = f'echo $$ > "{self.directory}/cgroup.procs" && exec "$@"'
        return ["sh", "-c", enter, "sh", *command]

    def remove(self) -> None:
        for directory in reversed(self._made):
            directory.rmdir()


@pytest.fixture
def docker() -> Iterator[Container]:
    container = Container("system.slice/docker-{id}.scope")
    try:
        yield container
    finally:
        container.remove()


@pytest.fixture
def containerd() -> Iterator[Container]:
    """One of Kubernetes, with the file that containerd keeps of it."""
    container = Container(f"kubepods/burstable/pod{POD_UID}/{{id}}")
    state = Path("/run/containerd/io.containerd.runtime.v2.task")
    missing = [path for path in (state, *state.parents) if not path.exists()]
    namespace = state / f"busted-{container.id[:8]}"
    try:
        (namespace / container.id).mkdir(parents=True)
        namespace.chmod(0o700)
        notes = {
            "io.kubernetes.cri.container-name": "server",
            "io.kubernetes.cri.image-name": "shop/web:3",
            "io.kubernetes.cri.sandbox-name": "web-0",
            "io.kubernetes.cri.sandbox-namespace": "shop",
        }
        (namespace / container.id / "config.json").write_text(json.dumps({"annotations": notes}))
        yield container
    finally:
        shutil.rmtree(namespace, ignore_errors=True)
        for path in missing:
            path.rmdir()
        container.remove()


def surroundings(process: dict[str, object]) -> dict[str, object]:
    names = ("container_id", "container_runtime", "container_name", "image", "pod", "namespace")
    return {name: process.get(name) for name in names}


def test_what_is_said_in_a_container_is_told_with_it(
    test_bed: Bed, docker: Container, containerd: Container, tmp_path: Path
) -> None:
    recording = tmp_path / "containers.rec"
    command = CLIENTS["openai_sync"].command(PROMPT)
    with Monitor("--record", str(recording)) as monitor:
        # The monitor is locked down by now: what it finds it finds with what it kept.
        pids = [
            test_bed.sandbox.run(command).pid,
            test_bed.sandbox.run(docker.command(command)).pid,
            test_bed.sandbox.run(containerd.command(command)).pid,
        ]
        told = [monitor.wait_for(pid, "Response") for pid in pids]
        assert monitor.stop() == 130

    outside, in_docker, in_pod = ([surroundings(e["process"]) for e in events] for events in told)
    assert all(process == dict.fromkeys(process) for process in outside)
    for process in in_docker:
        assert (process["container_id"], process["container_runtime"]) == (docker.id, "docker")
    for process in in_pod:
        assert process == {
            "container_id": containerd.id,
            "container_runtime": "containerd",
            "container_name": "server",
            "image": "shop/web:3",
            "pod": "web-0",
            "namespace": "shop",
        }
    user = pwd.getpwuid(os.getuid()).pw_name
    assert {event["process"]["user"] for events in told for event in events} == {user}
    assert monitor.lost == {}

    replayed = replay("--format", "json", "--content", "full", str(recording))
    assert [json.loads(line) for line in replayed.stdout.splitlines()] == monitor.events


def test_a_command_that_is_over_at_once_is_told_with_its_container(
    docker: Container, tmp_path: Path
) -> None:
    agent = tmp_path / "claude"
    shutil.copy("/bin/sh", agent)
    # The first process of the container is gone by the time anybody could look at it.
    command = shlex.join(docker.command(["/bin/true", "--first"]))
    with Monitor() as monitor:
        subprocess.run([agent, "-c", f"{command}; :"], check=True, timeout=DEADLINE_SECONDS)

        def first() -> list[Event]:
            told = [e for e in tuple(monitor.events) if e["action"]["type"] == "ProcessExec"]
            return [e for e in told if e["action"]["argv"] == ["/bin/true", "--first"]]

        monitor._wait(lambda: bool(first()), "the command")
        assert monitor.stop() == 130
    (event,) = first()
    assert event["process"]["container_id"] == docker.id
    assert monitor.lost == {}


def test_a_monitor_without_root_tells_containers_too(test_bed: Bed, containerd: Container) -> None:
    require("multi uprobe")
    from tests.e2e.test_privileges import DOCUMENTED, LAUNCH

    with Monitor(command=[LAUNCH, ",".join(DOCUMENTED)]) as monitor:
        command = containerd.command(CLIENTS["openai_sync"].command(PROMPT))
        pid = test_bed.sandbox.run(command).pid
        events = monitor.wait_for(pid, "Response")

    for process in (event["process"] for event in events):
        assert (process["container_id"], process["image"]) == (containerd.id, "shop/web:3")


def configured(directory: Path, kubeconfig: Path) -> str:
    path = directory / "config.toml"
    path.write_text(
        f'[kubernetes]\nenabled = "on"\nnode = "node-1"\nlabels = ["app"]\n'
        f'kubeconfig = "{kubeconfig}"\n'
    )
    return str(path)


def test_events_of_a_pod_tell_what_kubernetes_says_of_it(
    test_bed: Bed, containerd: Container, tmp_path: Path
) -> None:
    require("lightkube")
    server = WatchServer(TOKEN)
    made_by = {"apiVersion": "batch/v1", "kind": "Job", "name": "nightly-29350000", "uid": "1"}
    server.put(
        pod(
            "nightly-29350000-x7k2p",
            POD_UID,
            labels={"app": "web", "pod-template-hash": "x"},
            ownerReferences=[{**made_by, "controller": True}],
        )
    )
    recording = tmp_path / "pods.rec"
    command = containerd.command(CLIENTS["openai_sync"].command(PROMPT))
    with serving(server, tmp_path) as kubeconfig:
        options = ("--config", configured(tmp_path, kubeconfig), "--record", str(recording))
        with Monitor(*options) as monitor:
            # From the list, which takes as long as it takes; the watch comes behind it.
            until(lambda: any("watch" in path for path in server.requests), "it watches")
            events = monitor.wait_for(test_bed.sandbox.run(command).pid, "Response")
            assert monitor.stop() == 130

    for event in events:
        process = event["process"]
        assert (process["pod"], process["namespace"]) == ("nightly-29350000-x7k2p", "shop")
        assert (process["owner"], process["service_account"]) == ("CronJob/nightly", "web")
        assert process["labels"] == {"app": "web"}
        assert process["container_name"] == "server"
    assert monitor.lost == {}
    replayed = replay("--format", "json", "--content", "full", str(recording))
    assert [json.loads(line) for line in replayed.stdout.splitlines()] == monitor.events


def test_an_api_server_that_does_not_answer_holds_no_event_up(
    test_bed: Bed, containerd: Container, tmp_path: Path
) -> None:
    require("lightkube")
    server = WatchServer(TOKEN)
    server.silent = True
    command = containerd.command(CLIENTS["openai_sync"].command(PROMPT))
    with (
        serving(server, tmp_path) as kubeconfig,
        Monitor("--config", configured(tmp_path, kubeconfig)) as monitor,
    ):
        until(lambda: bool(server.requests), "it asks")
        events = monitor.wait_for(test_bed.sandbox.run(command).pid, "Response")
        assert monitor.stop() == 130

    # The runtime's own word is there all the same.
    assert {event["process"]["pod"] for event in events} == {"web-0"}
    assert all("owner" not in event["process"] for event in events)
    assert monitor.lost.keys() == {"enrichment_late"}
    assert monitor.lost["enrichment_late"] >= len(events)
