"""What each kernel answers when it is asked for its features: the table of docs/kernels.md.

`python -m tests.vm.features` asks all kernels in guests and writes the table anew.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from busted.kernel.features import Features, probe, try_programs
from tests.requirements import ROOT
from tests.vm.kernels import SUITES, cache_directory, kernel
from tests.vm.machine import OUT, run

DOCUMENT = ROOT / "docs" / "kernels.md"
BEGIN, END = "<!-- made by python -m tests.vm.features -->\n", "<!-- end -->\n"
_FILE = "answers.json"
SECONDS = 300


def answers() -> Features:
    """Ask the running kernel everything."""
    return Features(probe().answers | try_programs().answers)


def table(kernels: Mapping[str, Features]) -> str:
    """Return the answers as a table in Markdown, a column for each release of the kernel."""
    names = next(iter(kernels.values())).answers
    lines = [["", "since", *kernels], ["---"] * (len(kernels) + 2)]
    for name, feature in names.items():
        told = [features.answers[name].answer for features in kernels.values()]
        lines.append([name, feature.since, *told])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def with_table(document: str, made: str) -> str:
    """Return the document with that table in the place of the one it has."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{made}{END}{after}"


def main() -> None:
    """Ask every kernel and write the document."""
    asked = {}
    for version in SUITES:
        found = kernel(version, cache_directory())
        done = run(
            found,
            [sys.executable, "-m", __spec__.name, OUT],
            environment={"PYTHONPATH": str(ROOT / "src")},
            seconds=SECONDS,
        )
        asked[found.release] = msgspec.json.decode(done.files[_FILE], type=Features)
        print(f"{found.release}: asked", flush=True)
    DOCUMENT.write_text(with_table(DOCUMENT.read_text(), table(asked)))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1], _FILE).write_bytes(msgspec.json.encode(answers()))
    else:
        main()
