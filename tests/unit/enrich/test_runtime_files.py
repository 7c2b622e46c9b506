"""Name and image of containers, from trees of files as runtimes keep them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from busted.enrich import runtime_files
from busted.enrich.containers_table import Runtime
from busted.enrich.runtime_files import ContainerFacts, RuntimeFiles

ID = "ab" * 32
UID = "0b3e7a34-9a1c-4f0e-8a55-0123456789ab"

DOCKER = f"var/lib/docker/containers/{ID}/config.v2.json"
CONTAINERD = f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json"
CRIO = f"run/containers/storage/overlay-containers/{ID}/userdata/config.json"
PODMAN = "var/lib/containers/storage/overlay-containers/containers.json"

IN_POD = ("web-0", "shop", UID)

CRI = {
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.container-name": "server",
    "io.kubernetes.cri.image-name": "docker.io/library/nginx:1.27",
    "io.kubernetes.cri.sandbox-name": "web-0",
    "io.kubernetes.cri.sandbox-namespace": "shop",
    "io.kubernetes.cri.sandbox-uid": UID,
}
LABELS = {
    "io.kubernetes.container.name": "server",
    "io.kubernetes.pod.name": "web-0",
    "io.kubernetes.pod.namespace": "shop",
    "io.kubernetes.pod.uid": UID,
}


def stored(name: str, image: str, id: str = ID) -> dict[str, Any]:
    """An entry of containers/storage, as Podman writes it."""
    metadata = {"image-name": image, "image-id": "0" * 64, "name": name, "created-at": 1}
    return {"id": id, "names": [name], "image": "0" * 64, "metadata": json.dumps(metadata)}


def write(root: Path, path: str, content: Any) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        (
            DOCKER,
            {"ID": ID, "Name": "/web", "Config": {"Image": "nginx:1.27", "Labels": {"a": "b"}}},
            ContainerFacts(ID, "docker", "web", "nginx:1.27"),
        ),
        (
            DOCKER,
            {"Name": "/k8s_server_web-0_shop_x_0", "Config": {"Image": "nginx", "Labels": LABELS}},
            ContainerFacts(ID, "docker", "server", "nginx", *IN_POD),
        ),
        (
            CONTAINERD,
            {"ociVersion": "1.2.0", "annotations": CRI},
            ContainerFacts(ID, "containerd", "server", "docker.io/library/nginx:1.27", *IN_POD),
        ),
        (
            CONTAINERD.replace("run/", "run/k3s/", 1),
            {"annotations": CRI},
            ContainerFacts(ID, "containerd", "server", "docker.io/library/nginx:1.27", *IN_POD),
        ),
        (
            CONTAINERD.replace("k8s.io", "default"),
            {"annotations": {"nerdctl/name": "web", "nerdctl/namespace": "default"}},
            ContainerFacts(ID, "containerd", "web"),
        ),
        (
            CRIO,
            {
                "annotations": LABELS
                | {
                    "io.container.manager": "cri-o",
                    "io.kubernetes.cri-o.ImageName": "quay.io/shop/web:3",
                }
            },
            ContainerFacts(ID, "cri-o", "server", "quay.io/shop/web:3", *IN_POD),
        ),
        (
            PODMAN,
            [stored("other", "x", "0" * 64), stored("web", "quay.io/shop/web:3")],
            ContainerFacts(ID, "podman", "web", "quay.io/shop/web:3"),
        ),
        (
            "run/containers/storage/overlay-containers/volatile-containers.json",
            [stored("web", "quay.io/shop/web:3")],
            ContainerFacts(ID, "podman", "web", "quay.io/shop/web:3"),
        ),
    ],
)
def test_the_files_of_each_runtime_say_name_and_image(
    tmp_path: Path, path: str, content: Any, expected: ContainerFacts
) -> None:
    write(tmp_path, path, content)

    files = RuntimeFiles(tmp_path)
    assert files.read(ID, expected.runtime, None) == expected
    # Where the path says only that it is a container, the files say whose.
    assert files.read(ID, None, None) == expected


@pytest.mark.parametrize("runtime", ["docker", "containerd", "cri-o", "podman", None])
def test_without_files_only_what_the_path_said_is_known(
    tmp_path: Path, runtime: Runtime | None
) -> None:
    assert RuntimeFiles(tmp_path).read(ID, runtime, None) == ContainerFacts(ID, runtime)


@pytest.mark.parametrize(
    ("path", "content", "runtime"),
    [
        (
            ".local/share/docker/containers/{id}/config.v2.json",
            {"Name": "/web", "Config": {"Image": "i"}},
            "docker",
        ),
        (
            ".local/share/containers/storage/overlay-containers/containers.json",
            [stored("web", "i")],
            "podman",
        ),
    ],
)
def test_a_rootless_container_is_known_by_the_files_of_its_user(
    tmp_path: Path, path: str, content: Any, runtime: Runtime
) -> None:
    write(tmp_path, "home/of/" + path.format(id=ID), content)
    mine = {os.getuid(): Path("/home/of")}

    files = RuntimeFiles(tmp_path, home=mine.get)
    assert files.read(ID, runtime, os.getuid()) == ContainerFacts(ID, runtime, "web", "i")
    assert files.read(ID, runtime, None) == ContainerFacts(ID, runtime)
    assert files.read(ID, runtime, os.getuid() + 1) == ContainerFacts(ID, runtime)


def test_a_rootless_container_without_a_home_is_looked_for_where_it_runs(tmp_path: Path) -> None:
    uid = os.getuid()
    path = f"run/user/{uid}/containers/overlay-containers/volatile-containers.json"
    write(tmp_path, path, [stored("web", "i")])

    assert RuntimeFiles(tmp_path).read(ID, "podman", uid) == ContainerFacts(
        ID, "podman", "web", "i"
    )


def test_a_user_does_not_show_files_of_others_through_a_link(tmp_path: Path) -> None:
    uid = os.getuid()
    theirs = write(tmp_path, "theirs.json", [stored("bank", "bank:1")])
    path = f"run/user/{uid}/containers/overlay-containers/volatile-containers.json"
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).symlink_to(theirs)

    assert RuntimeFiles(tmp_path).read(ID, "podman", uid).name is None


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / DOCKER).parent.mkdir(parents=True)
    os.mkfifo(tmp_path / DOCKER)

    assert RuntimeFiles(tmp_path).read(ID, "docker", None) == ContainerFacts(ID, "docker")


def test_a_file_that_is_too_long_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, DOCKER, {"Name": "/web", "Config": {"Image": "i"}, "more": "x" * 100})
    assert RuntimeFiles(tmp_path).read(ID, "docker", None).name == "web"

    monkeypatch.setattr(runtime_files, "MAX_FILE_BYTES", file.stat().st_size - 1)
    assert RuntimeFiles(tmp_path).read(ID, "docker", None).name is None


@pytest.mark.parametrize("name", ["", "x" * (runtime_files.MAX_TEXT + 1), "a\x1b[2Jb", "a\nb"])
def test_a_name_that_no_runtime_gives_is_not_told(tmp_path: Path, name: str) -> None:
    write(tmp_path, DOCKER, {"Name": f"/{name}", "Config": {"Image": name}})

    assert RuntimeFiles(tmp_path).read(ID, "docker", None) == ContainerFacts(ID, "docker")


PATHS = st.sampled_from([DOCKER, CONTAINERD, CRIO, PODMAN])
WORDS = st.sampled_from(
    ["Name", "Config", "Image", "Labels", "annotations", "id", "names", "metadata", ID, "{}", "[]"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATHS, JSON.map(json.dumps).map(str.encode) | st.binary(max_size=200))
def test_whatever_a_file_holds_is_read_without_failing(
    tmp_path: Path, path: str, content: bytes
) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    try:
        assert RuntimeFiles(tmp_path).read(ID, None, None).id == ID
    finally:
        file.unlink()
