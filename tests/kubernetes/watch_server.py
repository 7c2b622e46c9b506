"""A small API server: pods of one node by list and watch, over HTTPS, and all that goes wrong.

What it does is what Kubernetes documents (kubernetes.io/docs/reference/using-api/api-concepts/,
"Efficient detection of changes"): a list has the version at which it was made; a watch tells what
came after a version, one JSON object a line, and ends after `timeoutSeconds`; a version that is too
old is 410 Gone, as a status or as an event. tests/kubernetes/test_api_server.py tells the same
story to a real one, where that is installed.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme

from tests.requirements import ROOT

ROLE = ROOT / "deploy/kubernetes/pods-rbac.yaml"

Pod = dict[str, Any]


def pod(name: str, uid: str, node: str = "node-1", **metadata: Any) -> Pod:
    """A pod as the API server has it; `status` and `spec` may be changed."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": uid, **metadata},
        "spec": {"nodeName": node, "serviceAccountName": "web", "containers": []},
        "status": {},
    }


class WatchServer:
    """Pods, the changes made to them, and who watches."""

    def __init__(self, token: str) -> None:
        """`token` is what clients must bear."""
        self.token = token
        self.requests: list[str] = []
        self.silent = False
        """Whether requests get no answer at all."""
        self._pods: dict[str, Pod] = {}
        self._changes: list[tuple[int, str, Pod]] = []
        self._version, self._oldest, self._cut = 1, 0, 0
        self._changed = threading.Condition()
        self._closed = False

    def put(self, pod: Pod) -> None:
        """Make or change a pod."""
        uid = pod["metadata"]["uid"]
        self._change("MODIFIED" if uid in self._pods else "ADDED", pod)

    def delete(self, uid: str) -> None:
        """Delete a pod."""
        self._change("DELETED", self._pods[uid])

    def disconnect(self) -> None:
        """Cut all watches, in the middle of a line."""
        with self._changed:
            self._cut += 1
            self._changed.notify_all()

    def forget(self) -> None:
        """Forget all versions up to now, as after compaction: then they are 410 Gone."""
        with self._changed:
            self._version += 1
            self._oldest = self._version
            self._changed.notify_all()

    def close(self) -> None:
        """End all watches."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def list(self, node: str) -> dict[str, Any]:
        """Answer a list."""
        with self._changed:
            items = [pod for pod in self._pods.values() if pod["spec"]["nodeName"] == node]
            version = {"resourceVersion": str(self._version)}
            return {"kind": "PodList", "apiVersion": "v1", "metadata": version, "items": items}

    def watch(self, node: str, version: int, seconds: float) -> Iterator[bytes]:
        """Answer a watch, line by line."""
        deadline, cut = time.monotonic() + seconds, self._cut
        while True:
            with self._changed:
                news = [change for change in self._changes if change[0] > version]
                if not news and not self._closed and cut == self._cut and version >= self._oldest:
                    self._changed.wait(max(0.0, min(0.2, deadline - time.monotonic())))
                gone = version < self._oldest
                ended = time.monotonic() >= deadline
            if cut != self._cut or self._closed:
                yield b'{"type": "MODIFIED", "object": {"kind": "Po'
                raise ConnectionAbortedError
            if gone:
                yield _line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})
                return
            for number, kind, about in news:
                version = number
                if about["spec"]["nodeName"] == node:
                    yield _line(kind, about)
            if ended:
                bookmark = {"kind": "Pod", "metadata": {"resourceVersion": str(version)}}
                yield _line("BOOKMARK", bookmark)
                return

    def is_gone(self, version: int) -> bool:
        """Tell whether a watch cannot begin there any more."""
        return version < self._oldest

    def _change(self, kind: str, pod: Pod) -> None:
        with self._changed:
            self._version += 1
            pod = {**pod, "metadata": {**pod["metadata"], "resourceVersion": str(self._version)}}
            uid = pod["metadata"]["uid"]
            if kind == "DELETED":
                del self._pods[uid]
            else:
                self._pods[uid] = pod
            self._changes.append((self._version, kind, pod))
            self._changed.notify_all()


def _line(kind: str, about: Pod) -> bytes:
    return json.dumps({"type": kind, "object": about}).encode() + b"\n"


@contextmanager
def serving(server: WatchServer, directory: Path, port: int = 0) -> Iterator[Path]:
    """Serve on loopback; gives a kubeconfig that leads there, in `directory`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(url.query).items()}
            server.requests.append(self.path)
            while server.silent and not server._closed:
                time.sleep(0.05)
            field, _, node = asked.get("fieldSelector", "").partition("=")
            if server._closed:
                self.close_connection = True
            elif self.headers["Authorization"] != f"Bearer {server.token}":
                self._answer(401, {"kind": "Status", "code": 401, "message": "Unauthorized"})
            elif url.path != "/api/v1/pods" or field != "spec.nodeName":
                self._answer(403, {"kind": "Status", "code": 403, "message": "pods is forbidden"})
            elif "watch" not in asked:
                self._answer(200, server.list(node))
            elif server.is_gone(int(asked["resourceVersion"])):
                self._answer(410, {"kind": "Status", "code": 410})
            else:
                self._stream(node, asked)

        def _answer(self, status: int, about: dict[str, Any]) -> None:
            body = json.dumps(about).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _stream(self, node: str, asked: dict[str, str]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            seconds = float(asked.get("timeoutSeconds", 1800))
            try:
                for line in server.watch(node, int(asked["resourceVersion"]), seconds):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.write(b"0\r\n\r\n")
            except ConnectionAbortedError:
                self.close_connection = True
                self.connection.close()
            except OSError:
                self.close_connection = True  # the client left

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, address: object) -> None:
            pass  # clients that leave

    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    http = Server(("127.0.0.1", port), Handler)
    http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=http.serve_forever, args=[0.05])
    thread.start()
    try:
        certificates = directory / "ca.pem"
        authority.cert_pem.write_to_path(str(certificates))
        yield kubeconfig(directory, http.server_port, certificates, server.token)
    finally:
        server.close()
        http.shutdown()
        thread.join()
        http.server_close()


def kubeconfig(directory: Path, port: int, certificates: Path, token: str) -> Path:
    """Write a kubeconfig that leads to a server on loopback."""
    path = directory / "kubeconfig"
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(certificates)}
    content = {
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    path.write_text(json.dumps(content))  # JSON is YAML
    return path
