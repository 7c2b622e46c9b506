"""OPA itself, and what it says of the cases: `python -m tests.opa.oracle` records that anew.

It installs OPA from the Go module proxy where it is not there yet, at the version below, and with
`install` does no more; this takes Go, some minutes and 50 MB in .cache. The tests compare with the
recorded answers, so that they run everywhere, and with OPA itself where it is installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.opa.cases import EVENTS, LIBRARY, RECORDED, data, is_v0, modules
from tests.requirements import GO_COMMAND, ROOT

VERSION = "v1.4.2"
OPA = ROOT / ".cache" / f"opa-{VERSION}" / "opa"


def install() -> None:
    """Build OPA in .cache."""
    if OPA.exists():
        return
    module = f"github.com/open-policy-agent/opa@{VERSION}"
    OPA.parent.mkdir(parents=True, exist_ok=True)
    variables = {**os.environ, "GOBIN": str(OPA.parent)}
    subprocess.run([GO_COMMAND, "install", module], check=True, env=variables)


def answers(names: list[str]) -> dict[str, dict[str, str]]:
    """Return what OPA says of each event by each of these modules.

    A decision as it stands, as JSON; `undefined`; or `error`.
    """
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "data.json").write_text(json.dumps(data()))
        (place / "input.json").write_text(json.dumps(list(EVENTS.values())))
        return {name: _of_module(place, name) for name in names}


def _of_module(place: Path, name: str) -> dict[str, str]:
    text, package = modules()[name]
    files = {"policy.rego": text}
    if "data.lib" in text:
        files["library.rego"] = LIBRARY
    command = [str(OPA), "eval", "--strict-builtin-errors", "--format", "json", "--stdin-input"]
    if is_v0(name):
        command.append("--v0-compatible")
    command += ["-d", str(place / "data.json")]
    for file, content in files.items():
        (place / file).write_text(content)
        command += ["-d", str(place / file)]
    told = {}
    for event, value in EVENTS.items():
        query = f"data.{package}.decision"
        done = subprocess.run(
            [*command, query], input=json.dumps(value).encode(), capture_output=True
        )
        told[event] = _told(json.loads(done.stdout))
    return told


def _told(answer: dict[str, Any]) -> str:
    if "errors" in answer:
        return "error"
    if "result" not in answer:
        return "undefined"
    return json.dumps(answer["result"][0]["expressions"][0]["value"])


def main(arguments: list[str]) -> None:
    """Install OPA, and record its answers."""
    install()
    if arguments == ["install"]:
        return
    recorded = {"opa": VERSION, "answers": answers(list(modules()))}
    RECORDED.write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
