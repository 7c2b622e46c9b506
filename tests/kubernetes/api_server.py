"""A real kube-apiserver on a real etcd: `python -m tests.kubernetes.api_server` installs both.

They are built from the Go module proxy, at the version below: five minutes and 130 MB in .cache.
That is too long for every run of the tests, so those that need it run where it was installed.

Kubernetes names its own parts v0.0.0 in its go.mod and keeps them in its repository; each is also
published by itself, so a module of ours replaces them by those.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme

from tests.e2e.deadline import until
from tests.e2e.sandbox import DIES_WITH_US
from tests.kubernetes.watch_server import kubeconfig
from tests.requirements import KUBERNETES

VERSION = KUBERNETES.name.removeprefix("kubernetes-v")
ETCD = "go.etcd.io/etcd/server/v3"
SERVER = "k8s.io/kubernetes/cmd/kube-apiserver"
# A loaded machine takes a minute for the first start, which fills the database.
START_SECONDS = 120.0

# For tests alone, on loopback.
ADMIN, BUSTED = "a" * 40, "b" * 40


def install() -> None:
    """Build both in .cache."""
    if all((KUBERNETES / name).exists() for name in ("kube-apiserver", "etcd")):
        return
    with tempfile.TemporaryDirectory() as directory:
        module = f"k8s.io/kubernetes@v{VERSION}"
        command = ["go", "mod", "download", "-json", module]
        told = json.loads(subprocess.check_output(command, cwd=directory))
        required = [line.split() for line in Path(told["GoMod"]).read_text().splitlines()]
        own = [words[0] for words in required if words[1:2] == ["v0.0.0"]]
        etcd = next(words[1] for words in required if words and words[0] == ETCD)
        lines = [
            "module busted.example/kubernetes\n\ngo 1.24.0\n",
            f"require k8s.io/kubernetes v{VERSION}",
            f"require {ETCD} {etcd}",
            *(f"replace {name} => {name} v0.{VERSION.partition('.')[2]}" for name in own),
        ]
        Path(directory, "go.mod").write_text("\n".join(lines) + "\n")
        KUBERNETES.mkdir(parents=True, exist_ok=True)
        for name, package in (("etcd", ETCD), ("kube-apiserver", SERVER)):
            subprocess.run(
                ["go", "build", "-mod=mod", "-ldflags=-s -w", "-o", KUBERNETES / name, package],
                cwd=directory,
                env=os.environ | {"CGO_ENABLED": "0"},
                check=True,
            )


class ApiServer:
    """A kube-apiserver that can be killed and started again; etcd keeps what it knows."""

    def __init__(self, directory: Path) -> None:
        """Nothing runs yet; all files are in `directory`."""
        self._directory = directory
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._etcd, self._peer, self._port = (_free_port() for _ in range(3))
        authority = trustme.CA()
        self.authority = directory / "ca.pem"
        """What its certificate is signed with."""
        authority.cert_pem.write_to_path(str(self.authority))
        own = authority.issue_cert("127.0.0.1")
        own.private_key_pem.write_to_path(str(directory / "key.pem"))
        for number, pem in enumerate(own.cert_chain_pems):
            pem.write_to_path(str(directory / "cert.pem"), append=number > 0)
        tokens = f"{ADMIN},admin,1,system:masters\n"
        tokens += f"{BUSTED},system:serviceaccount:kube-system:busted,2\n"
        (directory / "tokens.csv").write_text(tokens)

    def start(self) -> None:
        """Start what does not run, and wait until it is ready."""
        place, etcd = self._directory, f"http://127.0.0.1:{self._etcd}"
        peer = f"http://127.0.0.1:{self._peer}"
        self._run(
            "etcd",
            f"--data-dir={place / 'etcd'}",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        )
        self._run(
            "kube-apiserver",
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self._port}",
            f"--tls-cert-file={place / 'cert.pem'}",
            f"--tls-private-key-file={place / 'key.pem'}",
            f"--token-auth-file={place / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://127.0.0.1",
            f"--service-account-key-file={place / 'key.pem'}",
            f"--service-account-signing-key-file={place / 'key.pem'}",
        )
        until(self._is_ready, "the API server is ready", START_SECONDS)

    def kill(self) -> None:
        """Kill the API server; etcd goes on."""
        self._end("kube-apiserver")

    def close(self) -> None:
        """End both."""
        for name in list(self._running):
            self._end(name)

    @property
    def address(self) -> str:
        """Where it listens: HOST:PORT."""
        return f"127.0.0.1:{self._port}"

    def kubeconfig(self, token: str) -> Path:
        """Write a kubeconfig with a token; return its path."""
        place = self._directory / token[:1]
        place.mkdir(exist_ok=True)
        return kubeconfig(place, self._port, self.authority, token)

    def ask(self, path: str, token: str = ADMIN) -> int:
        """Return the status that a GET of `path` has."""
        context = ssl.create_default_context(cafile=str(self.authority))
        headers = {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"https://127.0.0.1:{self._port}{path}", headers=headers)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(request, timeout=10) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def _is_ready(self) -> bool:
        process = self._running["kube-apiserver"]
        assert process.poll() is None, (self._directory / "kube-apiserver.log").read_text()[-3000:]
        try:
            return self.ask("/readyz") == 200
        except OSError:
            return False

    def _run(self, name: str, *arguments: str) -> None:
        if name in self._running:
            return
        with (self._directory / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [*DIES_WITH_US, KUBERNETES / name, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
            )

    def _end(self, name: str) -> None:
        process = self._running.pop(name)
        process.kill()
        process.wait()


@contextmanager
def running(directory: Path) -> Iterator[ApiServer]:
    """Run one, ready, within the context."""
    server = ApiServer(directory)
    try:
        server.start()
        yield server
    finally:
        server.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port: Any = reserved.getsockname()[1]
        return int(port)


if __name__ == "__main__":
    install()
