"""What a test needs beyond plain Python, and what happens where that is missing.

`require("kernel")`, in a test or a fixture, or the mark `needs("kernel")`, goes on where the
feature is there, else skips and says why. A feature named in BUSTED_REQUIRE (comma separated,
as .ci/run sets it) must be there: then what would have been skipped fails. So a test never
goes missing silently, and `tests/conftest.py` lists what could not run.
"""

from __future__ import annotations

import ctypes.util
import functools
import importlib
import importlib.util
import json
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from busted.kernel.features import probe as probe_kernel
from busted.kernel.features import try_programs
from busted.kernel.names import open_root

ROOT = Path(__file__).parents[1]

# Debian's, or one that was unpacked as go.dev says.
GO_COMMAND = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin") or "go"
# rustup's, or a distribution's.
CARGO_COMMAND = (
    shutil.which("cargo", path=f"{os.environ['PATH']}:{Path.home()}/.cargo/bin") or "cargo"
)
# What tests.e2e.rust_client builds.
RUST_CHAT = ROOT / ".cache/rust_chat/release/rust_chat"
# Where setup has what builds the dashboard's page.
WEB = ROOT / ".cache/web"
BUN = ROOT / ".cache/node/node_modules/@oven/bun-linux-x64/bin/bun"
SO_NETNS_COOKIE = 71  # asm-generic/socket.h

Probe = Callable[[], str | None]
"""Why the feature is missing and what to do, or None when it is there."""


def _root() -> str | None:
    return None if os.geteuid() == 0 else "needs root: run the tests as root"


def _btf() -> str | None:
    if Path("/sys/kernel/btf/vmlinux").exists():
        return None
    return "needs a kernel with BTF (CONFIG_DEBUG_INFO_BTF=y)"


def _libbpf() -> str | None:
    return None if ctypes.util.find_library("bpf") else "needs libbpf: apt-get install libbpf1"


def _objects() -> str | None:
    if any((ROOT / "src/busted/kernel/objects").glob("*.bpf.o")):
        return None
    return "needs the eBPF objects: make build-ebpf"


def _namespaces() -> str | None:
    done = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True)
    return None if done.returncode == 0 else f"needs private namespaces: {done.stderr.strip()}"


def _cgroups() -> str | None:
    try:
        os.close(open_root())
    except OSError as error:
        return f"needs the root of the cgroups: {error.strerror}"
    return None


def _writable_cgroups() -> str | None:
    try:
        root = open_root()
        try:
            os.mkdir("busted-probe", dir_fd=root)
            os.rmdir("busted-probe", dir_fd=root)
        finally:
            os.close(root)
    except OSError as error:
        return f"needs to make control groups: {error.strerror}"
    return None


def bpftool() -> str | None:
    """Path of a bpftool that runs, None when there is none.

    Ubuntu's is a wrapper that fails where the tools of the running kernel are missing; those of
    another kernel dump a file as well.
    """
    others = sorted(map(str, Path("/usr/lib/linux-tools").glob("*/bpftool")), reverse=True)
    for path in filter(
        None, [shutil.which("bpftool", path=f"{os.environ['PATH']}:/usr/sbin"), *others]
    ):
        if subprocess.run([path, "version"], capture_output=True).returncode == 0:
            return path
    return None


def _bpftool() -> str | None:
    return None if bpftool() else "needs bpftool: make setup, as root"


def _node_packages() -> str | None:
    wanted = json.loads((ROOT / "tests/e2e/clients/package.json").read_text())["dependencies"]
    away = [n for n in wanted if not (ROOT / ".cache/node/node_modules" / n).is_dir()]
    return f"needs the npm packages {', '.join(away)}: make setup" if away else None


def _go() -> str | None:
    return None if Path(GO_COMMAND).exists() else "needs Go: apt-get install golang-go"


def _rust_client() -> str | None:
    if RUST_CHAT.exists():
        return None
    return "needs the Rust client: make rust-client builds it, with cargo (Rust 1.88 or later)"


def _bun() -> str | None:
    return None if BUN.exists() else f"needs {BUN.relative_to(ROOT)}: make setup, on x86-64"


def _nss() -> str | None:
    if ctypes.util.find_library("curl-nss"):
        return None
    return "needs libcurl on NSS, which Debian had up to 12: apt-get install libcurl3-nss"


def _web_packages() -> str | None:
    if (WEB / "node_modules/vite").is_dir():
        return None
    return "needs the npm packages of the dashboard: make setup"


def _openssl() -> str | None:
    if Path("/usr/include/openssl/ssl.h").exists():
        return None
    return "needs OpenSSL's headers: apt-get install libssl-dev"


def tls_libraries() -> list[str]:
    """The files of the TLS library that this Python uses; none where it is built into it."""
    importlib.import_module("_ssl")
    lines = Path("/proc/self/maps").read_text().splitlines()
    paths = {line.split(maxsplit=5)[5] for line in lines if len(line.split(maxsplit=5)) == 6}
    return [p for p in paths if Path(p).name.startswith(("libssl.so", "libcrypto.so"))]


def _shared_libssl() -> str | None:
    return None if tls_libraries() else "needs a Python that loads libssl as a library"


def _full_device() -> str | None:
    return None if Path("/dev/full").exists() else "needs /dev/full, a Linux device"


def _git() -> str | None:
    return None if (ROOT / ".git").exists() else "needs a git checkout, for its list of files"


def _program_kind(name: str) -> Probe:
    def probe() -> str | None:
        feature = try_programs().answers[name]
        return None if feature.answer == "yes" else f"needs {name} programs: {feature.detail}"

    return probe


def _netns_cookie() -> str | None:
    with socket.socket() as s:
        try:
            s.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)
        except OSError:
            return "needs the cookie of a network namespace: Linux 5.14 or later"
    return None


def _regorus() -> str | None:
    if importlib.util.find_spec("regorus"):
        return None
    return "needs regorus: pip install 'busted[policy]'"


def _lightkube() -> str | None:
    if importlib.util.find_spec("lightkube"):
        return None
    return "needs lightkube: pip install 'busted[k8s]'"


def _sklearn() -> str | None:
    if importlib.util.find_spec("sklearn") and importlib.util.find_spec("matplotlib"):
        return None
    return "needs scikit-learn and matplotlib: pip install 'busted[ml]'"


def _x86_64() -> str | None:
    return None if platform.machine() == "x86_64" else "needs x86-64: perf buffers are read there"


def _kernel_feature(name: str) -> Probe:
    def probe() -> str | None:
        feature = probe_kernel().answers[name]
        return None if feature.answer == "yes" else f"needs {name}: Linux {feature.since} or later"

    return probe


def tool(name: str) -> str | None:
    """Path of a program that the machine has, or that setup unpacked; None when there is none."""
    return shutil.which(name, path=f"{os.environ['PATH']}:{ROOT / '.cache/tools'}")


def _tool(name: str) -> Probe:
    return lambda: None if tool(name) else f"needs {name}: make setup"


def _shaper() -> str | None:
    command = "tc qdisc add dev lo root tbf rate 20mbit burst 3k limit 4k"
    done = subprocess.run(["unshare", "--net", "sh", "-c", command], capture_output=True, text=True)
    return None if done.returncode == 0 else f"needs the qdisc tbf: {done.stderr.strip()}"


def _program(name: str, package: str) -> Probe:
    def probe() -> str | None:
        return None if shutil.which(name) else f"needs {name}: apt-get install {package}"

    return probe


def _rsyslog_tls() -> str | None:
    if any(Path("/usr/lib").glob("*/rsyslog/lmnsd_ossl.so")):
        return None
    return "needs TLS in rsyslog: apt-get install rsyslog-openssl"


# Of these an empty one is loaded and attached.
_PROGRAM_KINDS = ("tp_btf", "kprobe", "fentry", "lsm")


def _opa() -> str | None:
    if any((ROOT / ".cache").glob("opa-*/opa")):
        return None
    return "needs OPA: make oracles builds it, with Go from the module proxy"


# What tests.kubernetes.api_server builds, and its version.
KUBERNETES = ROOT / ".cache" / "kubernetes-v1.34.4"


def _kube_apiserver() -> str | None:
    if all((KUBERNETES / name).exists() for name in ("kube-apiserver", "etcd")):
        return None
    return "needs kube-apiserver: python -m tests.kubernetes.api_server builds it, with Go"


def _otelcol() -> str | None:
    if any((ROOT / ".cache").glob("otelcol-*/otelcol")):
        return None
    return "needs a collector: python -m tests.outputs.collector builds it, with Go"


# What tests.helm.renderer builds, and its version.
HELM = ROOT / ".cache/helm-v3.22.0/helm"


def _helm() -> str | None:
    return None if HELM.exists() else "needs Helm: make oracles builds it, with Go"


# What tests.actionlint builds, and its version.
ACTIONLINT = ROOT / ".cache/actionlint-v1.7.7/actionlint"


def _actionlint() -> str | None:
    return None if ACTIONLINT.exists() else "needs actionlint: make oracles builds it, with Go"


PROBES: Mapping[str, tuple[Probe, ...]] = {
    "root": (_root,),
    "gcc": (_program("gcc", "gcc libc6-dev"),),
    "clang": (_program("clang", "clang"), _program("llvm-strip", "llvm")),
    "openssl": (_openssl,),
    "shared libssl": (_shared_libssl,),
    "full device": (_full_device,),
    "bpftool": (_bpftool,),
    "curl": (_program("curl", "curl"),),
    "nghttpx": (_program("nghttpx", "nghttp2-proxy"),),
    "node": (_program("node", "nodejs"), _program("npm", "npm")),
    "node packages": (_node_packages,),
    "chromium": (_program("chromium", "chromium"), _web_packages),
    "web packages": (_program("npm", "npm"), _web_packages),
    "bun": (_bun,),
    "wget": (_program("wget", "wget"),),
    "nss": (_nss,),
    "promtool": (_tool("promtool"),),
    "go": (_go,),
    # It runs a program from its source, which a JRE alone does not.
    "java": (_program("javac", "default-jdk-headless"),),
    "rust client": (_rust_client,),
    "nats": (_program("nats-server", "nats-server"),),
    "rsyslog": (_program("rsyslogd", "rsyslog"), _rsyslog_tls),
    "git": (_program("git", "git"), _git),
    "gpg": (_program("gpg", "gpg"), _program("gpgconf", "gpgconf")),
    "groff": (_program("groff", "groff-base"),),
    "systemd": (_program("systemd-analyze", "systemd"),),
    "regorus": (_regorus,),
    "lightkube": (_lightkube,),
    "sklearn": (_sklearn,),
    "unshare": (
        _program("unshare", "util-linux"),
        _program("nsenter", "util-linux"),
        _program("ip", "iproute2"),
        _root,
        _namespaces,
    ),
    "shaper": (_program("tc", "iproute2"), _shaper),
    # Loading and attaching programs.
    "kernel": (_root, _btf, _libbpf, _objects),
    "ring buffer": (_kernel_feature("ring buffer"),),
    "perf buffer": (_x86_64,),
    "cgroups": (_cgroups,),
    "writable cgroups": (_writable_cgroups,),
    "netns cookie": (_netns_cookie,),
    "attach cookie": (_kernel_feature("attach cookie"),),
    "bpf_loop": (_kernel_feature("bpf_loop"),),
    "multi uprobe": (_kernel_feature("multi uprobe"),),
    "session uprobe": (_kernel_feature("session uprobe"),),
    **{kind: (_root, _btf, _libbpf, _objects, _program_kind(kind)) for kind in _PROGRAM_KINDS},
    "opa": (_opa,),
    "otelcol": (_otelcol,),
    "kube-apiserver": (_kube_apiserver,),
    "helm": (_helm,),
    "actionlint": (_actionlint,),
}
# Features that are made of others.
GROUPS: Mapping[str, tuple[str, ...]] = {"e2e": ("kernel", "unshare", "curl")}


def require(*features: str) -> None:
    """Go on when all features are there; otherwise skip, or fail where they must be there."""
    for feature in features:
        for name in GROUPS.get(feature, (feature,)):
            reason = missing(name)
            if reason is None:
                continue
            if {name, feature} & mandatory(os.environ.get("BUSTED_REQUIRE", "")):
                pytest.fail(f"{reason} (and BUSTED_REQUIRE says it must be here)", pytrace=False)
            pytest.skip(reason)


@functools.cache
def missing(feature: str) -> str | None:
    """Why `feature` is missing here, or None; asked of the machine once."""
    return next((reason for probe in PROBES[feature] if (reason := probe())), None)


def mandatory(names: str) -> frozenset[str]:
    """The features in a comma-separated list, those that a group is made of included."""
    features = {name.strip() for name in names.split(",") if name.strip()}
    if unknown := features - PROBES.keys() - GROUPS.keys():
        known = ", ".join(sorted([*PROBES, *GROUPS]))
        raise pytest.UsageError(
            f"BUSTED_REQUIRE: unknown {', '.join(sorted(unknown))}; it knows {known}"
        )
    return frozenset(features.union(*(GROUPS.get(feature, ()) for feature in features)))
