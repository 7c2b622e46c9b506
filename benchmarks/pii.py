"""What the search for personal data and secrets takes of one processor, by kind of text.

`python -m benchmarks.pii` measures only this, and needs no root. The texts of the last rows were
found by trying what begins many rules and completes few; `--search N` tries N more.
"""

from __future__ import annotations

import argparse
import base64
import inspect
import random
import sys
import time

from benchmarks.payloads import CYRILLIC, prose
from benchmarks.plan import FULL, QUICK, Plan
from benchmarks.table import Cell, Table, median
from busted.classifier.pii import Scanner

KB = 1024
LARGE = 64 * KB
SCANNER = Scanner()

# What begins a rule, completes one, or makes a decoder work.
HOSTILE = (
    *("a@", "a@b.cc ", "a@a.aa.", "bob@example.com,", "1", "1 ", "4111 1111 1111 1111 "),
    *("4111111111111112 ", "sk-", "sk-ant-a ", "AKIA ", "bearer a", "authorization: bearer "),
    *("password=", "password: a1b2c3d4e5 ", "token: abcdefghijkl1234XYZ ", "secret=a1", "eyJ"),
    *("eyJaaaaaaaa.", "-----BEGIN PRIVATE KEY-----", "://a:b@", "://user:pass1@h ", "%41", "a%41 "),
    *("%40", "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh ", "YWFhYWFhYWFhYWFhYWFhYWFhYWFh.", "+49301234567 "),
    *("+12025550143 ", "202-555-0143 ", "tel 2", "123-45-6789 ", "DE89370400440532013000 "),
    *("AA11AAAAAAAAAAAAAAAA ", "\\n", "\\u0041", "\\u0040", ":\\/\\/", "\\\\", "é", "1.1.1.1 "),
    *("accountkey=", "abc8Q~" + "a" * 34, ";pwd=a1b2", "sk_live_", "\x00", " "),
)


def texts() -> dict[str, str]:
    """Return the texts of the goals, by what they are."""
    choose = random.Random(4)
    clean = prose(choose, LARGE)
    dense = "".join(
        f"{prose(choose, 150)} user{n}@example.com {prose(choose, 150)} {card} "
        for n, card in enumerate(["4111 1111 1111 1111", "5555 5555 5555 4444"] * 100)
    )
    source = inspect.getsource(argparse) + inspect.getsource(random)
    return {
        "clean": clean,
        "source code": (source * 2)[:LARGE],
        "base64": base64.b64encode(choose.randbytes(LARGE)).decode()[:LARGE],
        "dense: a finding in 180 bytes": dense[:LARGE],
        "not ASCII": prose(choose, LARGE, CYRILLIC),
    }


def microseconds(text: str, rounds: int) -> float:
    """Return what one search takes, the median of some."""
    taken = []
    for _ in range(rounds):
        start = time.thread_time_ns()
        SCANNER.find(text)
        taken.append((time.thread_time_ns() - start) / 1e3)
    return median(taken)


def repeated(unit: str) -> str:
    """Return 64 KB of UTF-8 that hold nothing but a unit."""
    data = (unit * (LARGE // len(unit.encode()) + 1)).encode()[:LARGE]
    return data.decode("utf-8", "ignore")


def worst(rounds: int, more: int) -> list[tuple[float, str]]:
    """Return how long the hostile texts take, the slowest first; `more` are mixed by chance."""
    choose = random.Random(9)
    units = [*HOSTILE]
    units += ["".join(choose.choices(HOSTILE, k=choose.randint(2, 4))) for _ in range(more)]
    return sorted(((microseconds(repeated(unit), rounds), unit) for unit in units), reverse=True)


def table(plan: Plan, more: int = 0) -> Table:
    """Measure, and return microseconds by kind and size of text."""
    SCANNER.find("what is made on first use is not the text's cost")
    rounds = plan.classify_rounds
    rows: list[tuple[Cell, ...]] = [
        (
            kind,
            microseconds(text.encode()[: 4 * KB].decode("utf-8", "ignore"), rounds * 10),
            microseconds(text.encode()[:LARGE].decode("utf-8", "ignore"), rounds),
        )
        for kind, text in texts().items()
    ]
    slowest, unit = worst(rounds, more)[0]
    rows.append((f"slowest of the hostile: {unit!r}", None, slowest))
    return Table(
        "Searching a text for personal data and secrets",
        f"Microseconds of one thread's processor time, median of {rounds} rounds. Goals: clean "
        "text 10 us for 4 KB and 200 us for 64 KB; 64 KB dense with findings 1 ms; text that is "
        "not ASCII no more than a fifth above that which is; 3 ms for 64 KB of anything.",
        ("text", "4 KB", "64 KB"),
        tuple(rows),
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pii", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--search", type=int, default=0, metavar="N", help="try N more")
    options = parser.parse_args()
    if options.search:
        for taken, unit in worst(5, options.search)[:10]:
            print(f"{taken:8.0f} us  {unit!r}")
        return 0
    print(table(QUICK if options.quick else FULL).markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
