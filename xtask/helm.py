"""README.md of the Helm chart: its table of values is written from values.yaml.

The comment above a value is its description. A map is one row where it has a comment, else one row
for each of its values. Comments within what has a row already are for readers of the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy/helm/busted"
BEGIN, END = (
    "<!-- values: written by `python -m xtask helm-readme` -->\n",
    "<!-- end of values -->\n",
)

_KEY = re.compile(r"^( *)([A-Za-z]\w*):")


def readme(chart: Path = CHART) -> str:
    """Return what README.md should be: itself, with the table of values of values.yaml."""
    before, _, rest = (chart / "README.md").read_text().partition(BEGIN)
    _, _, behind = rest.partition(END)
    table = "| Value | Default | Meaning |\n|---|---|---|\n" + "".join(
        f"| `{name}` | {_default(value)} | {description} |\n"
        for name, value, description in described((chart / "values.yaml").read_text())
    )
    return f"{before}{BEGIN}\n{table}\n{END}{behind}"


def described(text: str) -> Iterator[tuple[str, Any, str]]:
    """Yield the name, default and description of each value, in the order of the file."""
    values = yaml.safe_load(text)
    comment: list[str] = []
    path: list[str] = []
    told = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip().removeprefix("#").strip())
            continue
        if match := _KEY.match(line):
            path = [*path[: len(match[1]) // 2], match[2]]
            name = ".".join(path)
            inside = told and name.startswith(f"{told}.")
            if comment and not inside:
                told = name
                value = values
                for part in path:
                    value = value[part]
                yield name, value, " ".join(comment).replace("|", "\\|")
        comment = []


def _default(value: Any) -> str:
    if value in ("", None):
        return "none"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


if __name__ == "__main__":
    (CHART / "README.md").write_text(readme())
