"""Fuzz one target until it fails: `python -m tests.fuzz.run http1 [libFuzzer options]`.

Needs atheris; plain pytest does not, it runs the targets over their seeds (test_seeds.py).
"""

import importlib
import sys


def main() -> None:
    name, *options = sys.argv[1:]
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports():
        target = importlib.import_module(f"tests.fuzz.fuzz_{name}")
    atheris.Setup([f"fuzz_{name}", *options], target.one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
