"""An OpenTelemetry collector of the real code: `python -m tests.outputs.collector` builds it.

Its parts are taken from the Go module proxy, at the version below: the OTLP receiver, and the
exporter that writes what came in to the log. That takes Go, some minutes, 1 GB below the directory
for temporary files and 28 MB in .cache.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

from tests.requirements import ROOT

VERSION = "v0.140.0"
COLLECTOR = ROOT / ".cache" / f"otelcol-{VERSION}" / "otelcol"
_MODULES = "go.opentelemetry.io/collector"


def install() -> None:
    """Build the collector in .cache."""
    if COLLECTOR.exists():
        return
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        variables = {
            **os.environ,
            "GOPATH": str(place / "go"),
            "GOCACHE": str(place / "cache"),
            # Read-only modules would outlast the directory.
            "GOFLAGS": "-modcacherw",
        }
        recipe = {
            "dist": {"name": COLLECTOR.name, "output_path": str(place / "out")},
            "receivers": [{"gomod": f"{_MODULES}/receiver/otlpreceiver {VERSION}"}],
            "exporters": [{"gomod": f"{_MODULES}/exporter/debugexporter {VERSION}"}],
        }
        # YAML is a superset of JSON.
        (place / "recipe.yaml").write_text(json.dumps(recipe))
        builder = f"{_MODULES}/cmd/builder@{VERSION}"
        subprocess.run(["go", "install", builder], check=True, env=variables)
        command = [str(place / "go/bin/builder"), "--config", str(place / "recipe.yaml")]
        subprocess.run(command, check=True, env=variables)
        COLLECTOR.parent.mkdir(parents=True, exist_ok=True)
        COLLECTOR.write_bytes((place / "out" / COLLECTOR.name).read_bytes())
        COLLECTOR.chmod(0o755)


def configuration(port: int) -> str:
    """Return the settings of a collector that logs all that it receives at a port."""
    pipeline = {"receivers": ["otlp"], "exporters": ["debug"]}
    return json.dumps(
        {
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
            "exporters": {
                "debug": {"verbosity": "detailed", "sampling_initial": 10**6},
            },
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"logs": pipeline, "traces": pipeline},
            },
        }
    )


if __name__ == "__main__":
    install()
