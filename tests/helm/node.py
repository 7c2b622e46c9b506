"""What a kubelet does with one pod, so far as a DaemonSet of the chart needs it.

The container is a process of this host with a mount namespace of its own: its root is this host's,
read-only under an overlay, and the volumes stand where the pod wants them. It has the capabilities
that the pod names and no others. ConfigMaps are laid out as the kubelet does, so that a changed one
is there at once and as a whole: kubernetes.io/docs/tasks/configure-pod-container/
configure-pod-configmap/, "Mounted ConfigMaps are updated automatically".

Left out: images, seccomp and AppArmor profiles, resources, and probes but by `run`.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.sandbox import DIES_WITH_US
from tests.helm.renderer import Object
from tests.requirements import ROOT

if TYPE_CHECKING:
    from lightkube import Client

TOKENS = "/run/secrets/kubernetes.io/serviceaccount"  # /var/run leads there
# $1: an empty directory; then pairs of what is mounted and where, "--", and the command.
_CONTAINER = """
set -e
place=$1; shift
mount -t tmpfs tmpfs "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" "$place/root"
for kernel in proc sys dev; do mount --rbind "/$kernel" "$place/root/$kernel"; done
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p "$place/root$2"; else touch "$place/root$2"; fi
    mount --rbind "$1" "$place/root$2"
    shift 2
done
shift
mount -o remount,ro "$place/root"
exec chroot "$place/root" "$@"
"""


class Node:
    """A node on which one pod's first container is run; `directory` holds what it needs."""

    def __init__(self, client: Client, pod: Object, namespace: str, directory: Path) -> None:
        """`pod` is the template's `spec`, as the API server has it."""
        self._client, self._pod, self._namespace = client, pod, namespace
        self._directory = directory
        self._container: Object = pod["containers"][0]
        self._revision = 0

    def command(self, server: str, authority: Path) -> list[str]:
        """Return what runs the container; `server` is HOST:PORT of the API server."""
        self._put_token(authority)
        mounts = [f"{self._directory / 'token'}", TOKENS]
        volumes = {volume["name"]: self._source(volume) for volume in self._pod["volumes"]}
        for mount in self._container["volumeMounts"]:
            if volumes[mount["name"]].exists():
                mounts += [str(volumes[mount["name"]]), mount["mountPath"]]
        place = self._directory / "container"
        place.mkdir()
        script = ["unshare", "--mount", "sh", "-c", _CONTAINER, "sh", str(place), *mounts, "--"]
        program = [sys.executable, "-m", "busted.cli.main", *self._container["args"]]
        return [*DIES_WITH_US, *script, *self._privileges(), *self._environment(server), *program]

    def run(self, pid: int, command: Sequence[str]) -> int:
        """Run a command in the container of a process, as a probe does; return its exit code."""
        enter = ["nsenter", f"--target={pid}", "--mount", "--root", "--wdns=/"]
        return subprocess.run(
            [*enter, "env", f"PYTHONPATH={ROOT / 'src'}", *command], capture_output=True
        ).returncode

    def sync(self) -> None:
        """Lay out anew what ConfigMaps hold now."""
        self._revision += 1
        for volume in self._pod["volumes"]:
            self._source(volume)

    def _source(self, volume: Mapping[str, Any]) -> Path:
        from lightkube.resources.core_v1 import ConfigMap, Secret

        if "hostPath" in volume:
            path = Path(volume["hostPath"]["path"])
            if volume["hostPath"].get("type") == "DirectoryOrCreate":
                path.mkdir(parents=True, exist_ok=True)
            return path
        place = self._directory / str(volume["name"])
        place.mkdir(exist_ok=True)
        if "configMap" in volume:
            found = self._client.get(
                ConfigMap, volume["configMap"]["name"], namespace=self._namespace
            )
            self._lay_out(place, {n: text.encode() for n, text in (found.data or {}).items()})
        elif "secret" in volume:
            secret = self._client.get(
                Secret, volume["secret"]["secretName"], namespace=self._namespace
            )
            held = {name: base64.b64decode(text) for name, text in (secret.data or {}).items()}
            items = {item["path"]: held[item["key"]] for item in volume["secret"]["items"]}
            self._lay_out(place, items, volume["secret"]["defaultMode"])
        return place

    def _lay_out(self, place: Path, files: Mapping[str, bytes], mode: int = 0o644) -> None:
        made = place / f"..{self._revision}"
        made.mkdir()
        for name, content in files.items():
            (made / name).write_bytes(content)
            (made / name).chmod(mode)
            if not (place / name).is_symlink():
                (place / name).symlink_to(f"..data/{name}")
        (place / "..data_tmp").symlink_to(made.name)
        (place / "..data_tmp").rename(place / "..data")

    def _put_token(self, authority: Path) -> None:
        from lightkube.models.authentication_v1 import TokenRequestSpec
        from lightkube.models.meta_v1 import ObjectMeta
        from lightkube.resources.core_v1 import ServiceAccountToken

        account = self._pod["serviceAccountName"]
        spec = TokenRequestSpec(audiences=[], expirationSeconds=3600)
        asked = ServiceAccountToken(metadata=ObjectMeta(), spec=spec)
        answer = self._client.create(asked, account, namespace=self._namespace)
        assert answer.status is not None and answer.status.token is not None
        place = self._directory / "token"
        place.mkdir()
        (place / "token").write_text(answer.status.token)
        (place / "ca.crt").write_bytes(authority.read_bytes())
        (place / "namespace").write_text(self._namespace)

    def _privileges(self) -> list[str]:
        context: Object = self._container["securityContext"]
        assert context["capabilities"]["drop"] == ["ALL"]
        names = ",".join(f"+{name.lower()}" for name in context["capabilities"]["add"])
        kept = ["setpriv", f"--bounding-set=-all,{names}", "--inh-caps=-all", "--ambient-caps=-all"]
        return [*kept, *(() if context["allowPrivilegeEscalation"] else ("--no-new-privs",))]

    def _environment(self, server: str) -> list[str]:
        host, _, port = server.partition(":")
        given = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "src"),
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": port,
        }
        for variable in self._container["env"]:
            given[variable["name"]] = variable.get("value") or "node-1"
        return ["env", "-i", *(f"{name}={value}" for name, value in given.items())]
