"""Runs tests/kernel on other kernels: `python -m tests.vm [KERNEL...] [--tests TEST...]`.

Without a kernel's name it runs on all that can be fetched, and says which could not. Exits with 1
when a test failed, a named kernel could not be fetched, or a guest did not end in time.
"""

from __future__ import annotations

import argparse
import signal
import sys
import xml.etree.ElementTree as xml

from tests.requirements import ROOT
from tests.vm.kernels import SUITES, CannotFetch, cache_directory, kernel
from tests.vm.machine import OUT, CannotBoot, Done, run

# What must be there, so that no test of it is skipped: a kernel has what the one before it has.
BROUGHT = {
    "5.10": "kernel,gcc,ring buffer,perf buffer,tp_btf,kprobe,fentry,lsm",
    "6.1": "attach cookie,netns cookie",
    "6.12": "multi uprobe",
    "6.18": "session uprobe",
    "7": "",
}
# Of tests/kernel: what an emulated guest tells nothing about, and why.
LEFT_OUT = {
    "test_layouts.py": "compares files, whatever the kernel",
    "test_kill.py": "starts and kills monitors under load: half an hour, emulated",
    "test_benchmarks.py": "measures, and emulation has times of its own",
}
# Emulated beside other work, all of tests/kernel takes a quarter of an hour.
SECONDS = 1800


def required(version: str) -> str:
    """Return BUSTED_REQUIRE for a kernel."""
    known = list(BROUGHT)
    return ",".join(filter(None, (BROUGHT[v] for v in known[: known.index(version) + 1])))


def main() -> int:
    """Run the tests on each kernel in turn; returns the exit code."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tests = options.tests or [
        "tests/kernel",
        *(f"--ignore=tests/kernel/{name}" for name in LEFT_OUT),
    ]
    summary, failed = [], False
    for version in options.kernels or SUITES:
        try:
            done = _test(version, tests, options.seconds)
        except CannotFetch as error:
            failed |= bool(options.kernels)
            summary.append(f"{version}: {error}")
            continue
        except CannotBoot as error:
            failed = True
            summary.append(f"{version}: {error}")
            continue
        failed |= done.exit_code != 0
        summary.append(f"{version}: {_told(done)}")
    print("\n".join(["", *summary]))
    return int(failed)


def _test(version: str, tests: list[str], seconds: float) -> Done:
    found = kernel(version, cache_directory())
    print(f"--- {version}: {found.release}", flush=True)
    command = [sys.executable, "-m", "pytest", "-v", "--no-header", "-p", "no:cacheprovider"]
    return run(
        found,
        [*command, f"--junitxml={OUT}/junit.xml", *tests],
        environment={
            "BUSTED_REQUIRE": required(version),
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        seconds=seconds,
    )


def _told(done: Done) -> str:
    times = f"booted in {done.boot_seconds:.0f} s, {done.seconds:.0f} s in all"
    if done.exit_code is None:
        return f"FAILED: did not end in time; {times}"
    word = "passed" if done.exit_code == 0 else f"FAILED with {done.exit_code}"
    if "junit.xml" in done.files:
        (suite,) = xml.fromstring(done.files["junit.xml"]).iter("testsuite")
        counts = ", ".join(f"{suite.get(key)} {key}" for key in ("tests", "failures", "skipped"))
        word = f"{word}: {counts}"
    return f"{word}; {times}"


def _version(word: str) -> str:
    if word not in SUITES:
        raise argparse.ArgumentTypeError(f"no kernel {word}; there are {', '.join(SUITES)}")
    return word


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__)
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", type=_version)
    parser.add_argument("--tests", nargs="+", metavar="TEST", help="in place of tests/kernel")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for one kernel")
    return parser


if __name__ == "__main__":
    sys.exit(main())
