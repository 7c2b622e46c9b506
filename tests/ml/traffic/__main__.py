"""Record a portion of traffic, see the package: a few dozen clients, for a minute or two."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import zstandard

from busted.kernel import features
from busted.kernel.network import FlowPrograms
from busted.kernel.shared import SharedMaps
from busted.ml.history import History
from busted.ml.samples import Sample, read_samples, write_samples
from busted.records import Traffic, decode
from tests.e2e.sandbox import ROOT, Sandbox
from tests.ml.traffic.profiles import PROFILES
from tests.ml.traffic.scenarios import BEHIND, PORTS

HERE = Path(__file__).parent
RING_BYTES = 8 << 20
# The monitor looks as often (`TRAFFIC_SECONDS` of busted.agent.monitor).
LOOK_SECONDS = 0.1
# Libraries are loaded, and servers are ready, before anything counts.
START_SECONDS = 30.0
# Of each kind with each client, server, pace and delay: the file stays small.
MOST_OF_A_SOURCE = 15
PACKAGES = {"aa": 300, "bb": 1500, "cc": 40, "dd": 5000, "ee": 12, "ff": 800}  # KB


class Recorder:
    """Turns records of the probes into samples."""

    def __init__(self, line: str) -> None:
        self.samples: list[Sample] = []
        self.lost = 0
        self._line = line
        self._history = History()

    def take(self, raw: bytes) -> None:
        """Take a record, whatever it is."""
        record = decode(raw)
        if not isinstance(record, Traffic) or record.remote_port not in PORTS:
            return
        row = PORTS[record.remote_port]
        if not record.window:
            self._history.opened(record.key, record.remote, record.began_ns)
        words = (row.client, row.server, row.profile, self._line)
        self.samples.append(
            Sample(
                row.part,
                row.kind,
                " ".join(filter(None, words)),
                record.cookie,
                self._history.context(record.key, record.window, record.time_ns),
                record.slices,
            )
        )


def prepare(sandbox: Sandbox, directory: Path) -> None:
    """Have segments of the usual size, and what there is to install, to clone and to ask."""
    line = "ip link set lo mtu 1500"
    done = sandbox.run(["sh", "-c", line])
    if done.code:
        raise SystemExit(f"no such line: {done.stderr.decode()}")
    packages = directory / "packages"
    packages.mkdir()
    for name, kilobytes in PACKAGES.items():
        wheel(packages / f"{name}-1.0-py3-none-any.whl", name, kilobytes)
    repository = directory / "repository.git"
    # Loose objects: a server without git's own protocol hands out one after the other.
    made = (
        f"git init -q {repository}.work && cd {repository}.work && cp -r {ROOT}/docs {ROOT}/bpf . "
    )
    made += "&& git add . && git -c user.name=n -c user.email=e commit -q -m all "
    made += f"&& git clone -q --bare --no-local . {repository} && cp -r .git/objects {repository}/ "
    made += f"&& rm -f {repository}/objects/pack/* && git -C {repository} update-server-info"
    subprocess.run(["sh", "-c", made], check=True)


def wheel(path: Path, name: str, kilobytes: int) -> None:
    """Make a package that pip takes, and that no compression makes smaller."""
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.bin", random_bytes(kilobytes))
        file.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{about}/RECORD", "")


def random_bytes(kilobytes: int) -> bytes:
    """Return what no compression makes smaller."""
    with open("/dev/urandom", "rb") as file:
        return file.read(kilobytes << 10)


def servers(sandbox: Sandbox, directory: Path, delay_ms: float) -> list[subprocess.Popen[bytes]]:
    """Start all servers and wait until they listen."""
    started = [
        sandbox.start(
            [sys.executable, "-m", "tests.ml.traffic.server", "--cert-dir", str(directory)]
        )
    ]
    wait(started[0], directory / "ca.pem")
    rows = [
        [port + BEHIND, row.server, row.kind, row.profile]
        for port, row in PORTS.items()
        if row.server.startswith("node")
    ]
    command = [
        "node",
        str(HERE / "server.mjs"),
        str(directory / "server.pem"),
        json.dumps(PROFILES),
        json.dumps(rows),
        str(directory),
    ]
    started.append(sandbox.start(command))
    wait(started[1])
    command = ["node", str(HERE / "line.mjs"), str(delay_ms), json.dumps(list(PORTS))]
    started.append(sandbox.start(command))
    wait(started[2])
    return [*started, *postgres(sandbox, directory)]


def postgres(sandbox: Sandbox, directory: Path) -> list[subprocess.Popen[bytes]]:
    """Start a database with TLS, as a user that it takes; none where none is installed."""
    ports = [port + BEHIND for port, row in PORTS.items() if row.server == "postgres"]
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries or not ports:
        return []
    data = directory / "database"
    data.mkdir()
    shutil.copy(directory / "server.pem", data / "server.crt")
    shutil.copy(directory / "server.pem", data / "server.key")
    (data / "server.key").chmod(0o600)
    directory.chmod(0o755)
    for path in (data, *data.iterdir()):
        shutil.chown(path, "nobody", "nogroup")
    as_nobody = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
    cluster = data / "cluster"
    made = sandbox.run(
        [
            *as_nobody,
            str(binaries[-1] / "initdb"),
            "-D",
            str(cluster),
            "-A",
            "trust",
            "-U",
            "nobody",
        ],
        environment={"PGDATA": str(cluster)},
    )
    if made.code:
        raise SystemExit(made.stderr.decode())
    files = {"ssl_cert_file": f"{data}/server.crt", "ssl_key_file": f"{data}/server.key"}
    more = {"ssl": "on", "listen_addresses": "127.0.0.1", "fsync": "off"}
    settings = ["-p", str(ports[0]), "-k", str(data)]
    for name, value in (files | more).items():
        settings += ["-c", f"{name}={value}"]
    return [
        sandbox.start(
            [*as_nobody, str(binaries[-1] / "postgres"), "-D", str(cluster), *settings],
            stderr=subprocess.DEVNULL,
        )
    ]


def wait(process: subprocess.Popen[bytes], *files: Path) -> None:
    """Wait until a server says that it is ready."""
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        assert process.stderr is not None
        raise SystemExit(process.stderr.read().decode())
    assert all(file.exists() for file in files)


def clients(
    sandbox: Sandbox, directory: Path, seconds: float, errors: Path
) -> list[subprocess.Popen[bytes]]:
    """Start a process for each scenario."""
    environment = {
        "SSL_CERT_FILE": str(directory / "ca.pem"),
        "REQUESTS_CA_BUNDLE": str(directory / "ca.pem"),
        "CURL_CA_BUNDLE": str(directory / "ca.pem"),
        "NODE_EXTRA_CA_CERTS": str(directory / "ca.pem"),
        "PYTHONWARNINGS": "ignore",
    }
    started = []
    for port, row in PORTS.items():
        url = f"https://localhost:{port}"
        script = (
            ["node", str(HERE / "client.mjs")]
            if row.client.startswith("node")
            else [sys.executable, str(HERE / "client.py")]
        )
        with open(errors, "ab") as file:
            started.append(
                sandbox.start(
                    [*script, row.client, row.kind, url, str(seconds), str(row.workers)],
                    environment,
                    stderr=file,
                )
            )
    return started


def record(seconds: float, delay_ms: float, errors: Path) -> Recorder:
    """Run everything once, and return what was seen."""
    recorder = Recorder(f"{delay_ms:g}ms")
    found = features.probe()
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        sandbox = opened.enter_context(Sandbox(directory))
        prepare(sandbox, directory)
        servers(sandbox, directory, delay_ms)
        shared = opened.enter_context(closing(SharedMaps(RING_BYTES)))
        programs = opened.enter_context(
            closing(FlowPrograms(shared, "ai", found, features.try_programs(), traffic=True))
        )
        running = clients(sandbox, directory, seconds, errors)
        until = time.monotonic() + seconds + START_SECONDS
        while time.monotonic() < until and any(process.poll() is None for process in running):
            due = time.monotonic() + LOOK_SECONDS
            programs.look_at_traffic()
            while batch := shared.ring.read():
                for raw in batch:
                    recorder.take(raw)
            time.sleep(max(due - time.monotonic(), 0))
        recorder.lost = sum(shared.lost().values())
    return recorder


def main() -> None:
    """Read the command line and record."""
    parser = argparse.ArgumentParser(description="Real traffic, recorded to train with.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--delay-ms", type=float, default=15, help="each way")
    parser.add_argument("--errors", type=Path, default=Path("/dev/null"), help="of the clients")
    parser.add_argument("out", type=Path, help="samples are added to those that are there")
    options = parser.parse_args()
    recorder = record(options.seconds, options.delay_ms, options.errors)
    before: tuple[Sample, ...] = ()
    if options.out.exists():
        before = read_samples(zstandard.decompress(options.out.read_bytes())).samples
    kept = list(few([*before, *recorder.samples]))
    delays = {sample.source.rsplit(" ", 1)[1] for sample in kept}
    told = ", ".join(sorted(delays, key=lambda delay: float(delay.removesuffix("ms"))))
    raw = write_samples(f"real clients and servers on one machine, {told} of delay each way", kept)
    options.out.write_bytes(zstandard.compress(raw, 19))
    print(f"{len(recorder.samples)} windows, {recorder.lost} lost; {len(kept)} in all")


def few(samples: Sequence[Sample]) -> Iterator[Sample]:
    """Yield as many samples of each source as are kept, so that none outweighs others."""
    counts: Counter[tuple[str, str]] = Counter()
    for sample in samples:
        counts[sample.kind, sample.source] += 1
        if counts[sample.kind, sample.source] <= MOST_OF_A_SOURCE:
            yield sample


if __name__ == "__main__":
    main()
