"""What is read of a pod as the API server has it, and where that server is looked for."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from busted.enrich import pod_watch
from busted.enrich.pod_watch import MAX_LABELS, KubernetesSettings, facts_of
from busted.enrich.pods import PodFacts
from tests.kubernetes.watch_server import pod
from tests.requirements import require

ID = "ab" * 32


@pytest.fixture(autouse=True)
def needs_the_extra() -> None:
    require("lightkube")


def read(given: dict[str, Any], labels: tuple[str, ...] = ()) -> PodFacts:
    from lightkube.resources.core_v1 import Pod

    pod = Pod.from_dict(given)
    assert isinstance(pod, Pod)
    return facts_of(pod, labels)


def made_by(kind: str, name: str, controller: bool = True) -> list[dict[str, Any]]:
    owner = {"apiVersion": "v1", "kind": kind, "name": name, "uid": "1", "controller": controller}
    return [{**owner, "kind": "Other", "controller": False}, owner]


@pytest.mark.parametrize(
    ("owners", "labels", "owner"),
    [
        (
            made_by("ReplicaSet", "web-5d4f8c7b9d"),
            {"pod-template-hash": "5d4f8c7b9d"},
            "Deployment/web",
        ),
        (made_by("ReplicaSet", "web-5d4f8c7b9d"), {}, "ReplicaSet/web-5d4f8c7b9d"),
        (made_by("ReplicaSet", "web"), {"pod-template-hash": "other"}, "ReplicaSet/web"),
        (made_by("Job", "nightly-29350000"), {}, "CronJob/nightly"),
        (made_by("Job", "once"), {}, "Job/once"),
        (made_by("DaemonSet", "logs"), {}, "DaemonSet/logs"),
        (made_by("Node", "node-1"), {}, "Node/node-1"),
        (made_by("Other", "x", controller=False), {}, None),
        ([], {}, None),
        (None, None, None),
    ],
)
def test_what_made_a_pod_is_told_by_names(
    owners: list[dict[str, Any]] | None, labels: dict[str, str] | None, owner: str | None
) -> None:
    assert read(pod("x", "uid-1", ownerReferences=owners, labels=labels)).owner == owner


def test_only_the_labels_that_were_asked_for_are_told() -> None:
    given = pod("x", "uid-1", labels={"app": "web", "owner": "someone"})

    assert read(given).labels == {}
    assert read(given, ("app", "tier")).labels == {"app": "web"}


def test_so_many_labels_are_told_and_no_more() -> None:
    names = [f"label-{number}" for number in range(MAX_LABELS + 1)]
    given = pod("x", "uid-1", labels=dict.fromkeys(names, "x"))

    assert list(read(given, tuple(names)).labels) == names[:MAX_LABELS]


def test_a_static_pod_has_the_uid_of_its_control_groups() -> None:
    notes = {"kubernetes.io/config.mirror": "9f" * 16}

    assert read(pod("x", "uid-1", annotations=notes)).uid == "9f" * 16


def test_containers_of_all_kinds_are_read_by_their_ids() -> None:
    given = pod("x", "uid-1")
    status = {"image": "shop/web:3", "imageID": "", "ready": True, "restartCount": 0}
    for number, kind in enumerate(("init", "", "ephemeral")):
        name = f"{kind}ContainerStatuses" if kind else "containerStatuses"
        one = {**status, "name": f"c{number}", "containerID": f"cri-o://{number}{ID[1:]}"}
        given["status"][name] = [one, {**status, "name": "not started"}]

    assert read(given).containers == {f"{n}{ID[1:]}": (f"c{n}", "shop/web:3") for n in range(3)}


def test_a_pod_of_which_little_is_said_is_read() -> None:
    assert read({"metadata": {"uid": "uid-1"}}) == PodFacts("uid-1")


@pytest.mark.parametrize(
    ("settings", "in_cluster", "token", "wanted"),
    [
        (KubernetesSettings(), False, False, False),
        (KubernetesSettings(), True, False, False),
        (KubernetesSettings(), False, True, False),
        (KubernetesSettings(), True, True, True),
        (KubernetesSettings(kubeconfig="/some/where"), False, False, True),
        (KubernetesSettings(enabled="off", kubeconfig="/some/where"), True, True, False),
        (KubernetesSettings(enabled="on"), False, False, True),
    ],
)
def test_it_is_asked_where_there_is_somebody_to_ask(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    settings: KubernetesSettings,
    in_cluster: bool,
    token: bool,
    wanted: bool,
) -> None:
    monkeypatch.setattr(pod_watch, "TOKEN", tmp_path / "token")
    if token:
        (tmp_path / "token").touch()
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    if in_cluster:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")

    assert settings.is_wanted == wanted


def test_the_node_is_the_one_of_the_settings_else_of_the_surroundings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NODE_NAME", raising=False)
    assert KubernetesSettings().node_name == socket.gethostname().lower()
    monkeypatch.setenv("NODE_NAME", "node-1")
    assert KubernetesSettings().node_name == "node-1"
    assert KubernetesSettings(node="node-2").node_name == "node-2"
