"""The pods of a node, followed at a server that ends, forgets and goes away."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from busted.enrich import pod_watch
from busted.enrich.pod_watch import KubernetesSettings, PodWatch
from busted.enrich.pods import PodFacts
from tests.e2e.deadline import until
from tests.kubernetes.watch_server import ROLE, WatchServer, pod, serving
from tests.requirements import require

TOKEN = "a" * 40
ID = "ab" * 32
SETTINGS = KubernetesSettings(enabled="on", node="node-1", labels=("app", "tier"))


@pytest.fixture(autouse=True)
def needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    require("lightkube")
    monkeypatch.setattr(pod_watch, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(pod_watch, "MAX_SECONDS", 0.2)
    monkeypatch.setattr(pod_watch, "ASK_SECONDS", 0.1)


class Followed:
    """A watch, and all that it told so far."""

    def __init__(self, watch: PodWatch) -> None:
        self.watch = watch
        self.told: list[PodFacts] = []

    def until(self, *expected: PodFacts) -> None:
        """Wait until the last things told are these."""

        def told() -> bool:
            self.told += self.watch.take()
            return self.told[-len(expected) :] == list(expected)

        try:
            until(told, "pods")
        except AssertionError:
            raise AssertionError(f"{self.told}, not {expected}; {self.watch.trouble}") from None


@contextmanager
def following(kubeconfig: Path, settings: KubernetesSettings = SETTINGS) -> Iterator[Followed]:
    watch = PodWatch(msgspec.structs.replace(settings, kubeconfig=str(kubeconfig)))
    watch.start()
    try:
        yield Followed(watch)
    finally:
        watch.close()


def facts(name: str, uid: str, **more: object) -> PodFacts:
    return msgspec.structs.replace(
        PodFacts(uid, name, "shop", service_account="web"),
        **more,
    )


def test_pods_are_told_as_they_come_change_and_go(tmp_path: Path) -> None:
    server = WatchServer(TOKEN)
    server.put(pod("one", "uid-1"))
    server.put(pod("elsewhere", "uid-9", node="node-2"))
    with serving(server, tmp_path) as kubeconfig, following(kubeconfig) as followed:
        followed.until(facts("one", "uid-1"))
        server.put(pod("two", "uid-2", labels={"app": "web", "secret": "x"}))
        followed.until(facts("two", "uid-2", labels={"app": "web"}))
        started = pod("two", "uid-2", labels={"app": "web"})
        started["status"]["containerStatuses"] = [
            {
                "name": "server",
                "image": "shop/web:3",
                "imageID": "",
                "ready": True,
                "restartCount": 0,
                "containerID": f"containerd://{ID}",
            }
        ]
        server.put(started)
        containers = {ID: ("server", "shop/web:3")}
        followed.until(facts("two", "uid-2", labels={"app": "web"}, containers=containers))
        server.delete("uid-1")
        followed.until(PodFacts("uid-1", deleted=True))
        assert followed.watch.trouble is None

    assert all(told.name != "elsewhere" for told in followed.told)


def test_a_watch_that_is_cut_goes_on_and_nothing_is_missed(tmp_path: Path) -> None:
    server = WatchServer(TOKEN)
    server.put(pod("one", "uid-1"))
    with serving(server, tmp_path) as kubeconfig, following(kubeconfig) as followed:
        followed.until(facts("one", "uid-1"))
        server.disconnect()
        server.put(pod("two", "uid-2"))
        followed.until(facts("one", "uid-1"), facts("two", "uid-2"))


def test_a_watch_that_ends_in_peace_is_asked_for_anew_without_a_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_watch, "WATCH_SECONDS", 1)
    server = WatchServer(TOKEN)
    server.put(pod("one", "uid-1"))
    with serving(server, tmp_path) as kubeconfig, following(kubeconfig) as followed:
        until(lambda: sum("watch" in path for path in server.requests) >= 3, "three watches")
        server.put(pod("two", "uid-2"))
        followed.until(facts("one", "uid-1"), facts("two", "uid-2"))

    assert sum("watch" not in path for path in server.requests) == 1


@pytest.mark.parametrize("disconnected", [False, True])
def test_a_version_that_is_gone_leads_to_a_new_list(tmp_path: Path, disconnected: bool) -> None:
    server = WatchServer(TOKEN)
    server.put(pod("one", "uid-1"))
    server.put(pod("two", "uid-2"))
    with serving(server, tmp_path) as kubeconfig, following(kubeconfig) as followed:
        followed.until(facts("one", "uid-1"), facts("two", "uid-2"))
        if disconnected:
            server.disconnect()
        server.forget()
        server.delete("uid-1")
        # Told once, whether by the list or by the watch behind it.
        followed.until(
            facts("one", "uid-1"), facts("two", "uid-2"), PodFacts("uid-1", deleted=True)
        )


def test_while_the_server_is_away_it_says_so_and_what_changed_is_told_later(
    tmp_path: Path,
) -> None:
    server = WatchServer(TOKEN)
    server.put(pod("one", "uid-1"))
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with ExitStack() as opened:
        with serving(server, tmp_path, port) as kubeconfig:
            followed = opened.enter_context(following(kubeconfig))
            followed.until(facts("one", "uid-1"))
        until(lambda: followed.watch.trouble is not None, "it is in trouble")
        again = WatchServer(TOKEN)
        again.put(pod("two", "uid-2"))
        with serving(again, tmp_path, port):
            followed.until(facts("two", "uid-2"), PodFacts("uid-1", deleted=True))
            until(lambda: followed.watch.trouble is None, "it is not in trouble any more")


def test_a_server_that_ends_each_watch_at_once_is_not_asked_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_watch, "WATCH_SECONDS", 0)
    server = WatchServer(TOKEN)
    with serving(server, tmp_path) as kubeconfig:
        watch = PodWatch(msgspec.structs.replace(SETTINGS, kubeconfig=str(kubeconfig)))
        waits: list[float] = []
        wait = watch._stopped.wait

        def waited(seconds: float) -> bool:
            waits.append(seconds)
            return wait(seconds)

        monkeypatch.setattr(watch._stopped, "wait", waited)
        watch.start()
        try:
            until(lambda: len(server.requests) >= 5, "a list and four watches")
        finally:
            watch.close()

    assert len([seconds for seconds in waits if seconds > 0]) >= 3


def test_of_a_pod_that_changes_often_only_the_last_waits_to_be_taken(tmp_path: Path) -> None:
    server = WatchServer(TOKEN)
    with serving(server, tmp_path) as kubeconfig, following(kubeconfig) as followed:
        until(lambda: any("watch" in path for path in server.requests), "it watches")
        for number in range(20):
            server.put(pod("one", "uid-1", labels={"app": str(number)}))
        server.put(pod("two", "uid-2"))
        until(lambda: "uid-2" in followed.watch._found, "all came")
        taken = list(followed.watch.take())

    assert taken == [facts("one", "uid-1", labels={"app": "19"}), facts("two", "uid-2")]
    assert list(followed.watch.take()) == []


def test_the_documented_role_lists_and_watches_pods_and_nothing_else() -> None:
    from lightkube import codecs
    from lightkube.resources.rbac_authorization_v1 import ClusterRole

    made = codecs.load_all_yaml(ROLE.read_text())
    (role,) = (one for one in made if isinstance(one, ClusterRole))
    assert {one.kind for one in made} == {"ServiceAccount", "ClusterRole", "ClusterRoleBinding"}
    assert [rule.to_dict() for rule in role.rules or ()] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
    ]


def test_without_permission_it_says_so(tmp_path: Path) -> None:
    server = WatchServer("b" * 40)
    with serving(server, tmp_path) as kubeconfig:
        server.token = TOKEN
        with following(kubeconfig) as followed:
            until(
                lambda: "Unauthorized" in (followed.watch.trouble or ""), "it says that it may not"
            )


def test_without_a_kubeconfig_it_says_so(tmp_path: Path) -> None:
    with following(tmp_path / "none") as followed:
        until(lambda: "not found" in (followed.watch.trouble or ""), "it says what is missing")
