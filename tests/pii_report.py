"""`make pii-report`: how precise the search for personal data and secrets is, by kind.

Recall and precision are those on `tests.pii_corpus`. Text that others wrote, the sources and
documents of the standard library and of the packages beside it, is searched too, and what is
found there counted by kind: most of it is what it seems to be, if only as an example, so somebody
has to look, which `--show` is for. The tables go to docs/pii.md.
"""

from __future__ import annotations

import argparse
import random
import re
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from busted.classifier.pii import Scanner
from tests.pii_corpus import negatives, positives
from tests.requirements import ROOT

DOCUMENT = ROOT / "docs" / "pii.md"
ENDINGS = {".py", ".pyi", ".rst", ".md", ".txt", ".js", ".ts", ".c", ".h", ".toml", ".cfg"}
PIECE_CHARS = 1 << 16
MEGABYTES = 100


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How one kind is found in the corpus; `false` counts it where it is not."""

    positives: int
    found: int
    false: int

    @property
    def recall(self) -> float:
        """The part of what is there that is found."""
        return self.found / self.positives if self.positives else 1.0

    @property
    def precision(self) -> float:
        """The part of what is found that is there."""
        return self.found / (self.found + self.false) if self.found + self.false else 1.0


def scores(scanner: Scanner) -> dict[str, Score]:
    """Return how each kind is found in the corpus."""
    there: Counter[str] = Counter()
    found: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for positive in positives():
        there[positive.kind] += 1
        hit = False
        for finding in scanner.find(positive.text).findings:
            value = positive.text[finding.start : finding.end]
            if finding.kind == positive.kind and positive.value in value and not hit:
                hit = True
            else:
                false[finding.kind] += 1
        found[positive.kind] += hit
    for negative in negatives():
        false.update(scanner.find(negative.text).counts)
    return {
        kind: Score(positives=there[kind], found=found[kind], false=false[kind])
        for kind in sorted(there | false)
    }


class Ordinary(msgspec.Struct, frozen=True):
    """What was found in text that others wrote: how much there was, and how often what."""

    size: int
    counts: Counter[str]
    shown: tuple[str, ...]


def ordinary(scanner: Scanner, megabytes: int) -> Ordinary:
    """Search sources and documents of this Python and its packages, in a random order."""
    size, counts, shown = 0, Counter[str](), []
    for text in _texts():
        size += len(text.encode("utf-8", "surrogatepass"))
        for start in range(0, len(text), PIECE_CHARS):
            piece = text[start : start + PIECE_CHARS]
            scan = scanner.find(piece)
            counts.update(scan.counts)
            shown += [
                f"{finding.kind}: {piece[max(0, finding.start - 30) : finding.end][:120]!r}"
                for finding in scan.findings
                if finding.kind != "email"
            ]
        if size > megabytes * 1_000_000:
            break
    return Ordinary(size, counts, tuple(shown))


def _texts() -> Iterator[str]:
    places = sysconfig.get_paths()
    files = {
        path
        for place in (places["stdlib"], places["purelib"])
        for path in Path(place).rglob("*")
        if path.suffix in ENDINGS and "busted" not in path.parts
    }
    in_order = sorted(files)
    random.Random(8).shuffle(in_order)
    for path in in_order:
        if path.is_file():
            yield path.read_text("utf-8", "replace")


def tables(scored: dict[str, Score], found: Ordinary) -> str:
    """Return the report in Markdown."""
    lines = [
        f"{sum(s.positives for s in scored.values())} texts with one finding each and "
        f"{sum(1 for _ in negatives())} without any "
        "([tests/pii_corpus.py](../tests/pii_corpus.py)).",
        "",
        "| Kind | Positives | Found | False | Recall | Precision |",
        "|---|---|---|---|---|---|",
        *(
            f"| `{kind}` | {s.positives} | {s.found} | {s.false} | {s.recall:.3f} | "
            f"{s.precision:.3f} |"
            for kind, s in scored.items()
        ),
        "",
        f"In {found.size / 1e6:.0f} MB of sources and documents of the standard library and of "
        "installed packages:",
        "",
        "| Kind | Found | in 10 MB |",
        "|---|---|---|",
        *(
            f"| `{kind}` | {count} | {count * 1e7 / found.size:.2f} |"
            for kind, count in found.counts.most_common()
        ),
    ]
    return "\n".join(lines)


def with_report(document: str, report: str) -> str:
    """Return a document with what stands between its two marks replaced."""
    begin, end = "<!-- report -->", "<!-- end of report -->"
    pattern = re.compile(f"{begin}.*{end}", re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n{report}\n{end}", document)


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.pii_report", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES)
    parser.add_argument("--show", action="store_true", help="what was found, but e-mail addresses")
    options = parser.parse_args(None if arguments is None else list(arguments))
    scanner = Scanner()
    found = ordinary(scanner, options.megabytes)
    report = tables(scores(scanner), found)
    print(report)
    if options.show:
        print("\n".join(found.shown))
    DOCUMENT.write_text(with_report(DOCUMENT.read_text(), report))


if __name__ == "__main__":
    main()
