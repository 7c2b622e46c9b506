"""What the runner of other kernels decides before it starts one."""

from __future__ import annotations

import itertools
import lzma
from pathlib import Path

import pytest

from busted.kernel.features import Feature, Features
from tests.requirements import mandatory
from tests.vm import initramfs
from tests.vm.__main__ import BROUGHT, LEFT_OUT, required
from tests.vm.features import BEGIN, DOCUMENT, END, table, with_table
from tests.vm.initramfs import archive
from tests.vm.kernels import SUITES, Kernel, boot_modules, cache_directory, newest, parts


def test_the_latest_plain_kernel_is_taken() -> None:
    names = [
        *("linux-image-6.1.0-9-amd64", "linux-image-6.1.0-50-amd64", "linux-image-6.1-amd64"),
        *("linux-image-6.1.0-51-cloud-amd64", "linux-image-6.1.0-52-rt-amd64"),
        *("linux-image-6.1.0-53-amd64-dbg", "linux-image-6.1.0-0.deb11.54-amd64"),
    ]
    assert newest(names) == "linux-image-6.1.0-50-amd64"
    names = ["linux-image-7.10.1+deb13-amd64", "linux-image-7.9.12+deb13-amd64"]
    assert newest(names) == "linux-image-7.10.1+deb13-amd64"
    assert newest(["linux-image-amd64"]) is None


def test_a_kernel_in_several_packages_is_fetched_whole() -> None:
    depends = (
        "linux-image-7.3.4+deb13-amd64\n"
        "  Depends: linux-base\n  Depends: linux-binary-7.3.4+deb13-amd64\n"
        "  Depends: linux-modules-7.3.4+deb13-amd64\n  Breaks: linux-modules-1\n"
    )
    assert parts(depends) == ["linux-binary-7.3.4+deb13-amd64", "linux-modules-7.3.4+deb13-amd64"]


def test_modules_come_after_what_they_need_and_each_once(tmp_path: Path) -> None:
    (tmp_path / "modules.dep").write_text(
        "a/9p.ko.xz: a/9pnet.ko.xz a/netfs.ko\na/9pnet.ko.xz:\na/netfs.ko:\n"
        "a/9pnet-virtio.ko: a/9pnet.ko.xz\n"
    )
    (tmp_path / "a").mkdir()
    for name in ("9p", "9pnet"):
        (tmp_path / f"a/{name}.ko.xz").write_bytes(lzma.compress(name.encode()))
    for name in ("netfs", "9pnet-virtio"):
        (tmp_path / f"a/{name}.ko").write_bytes(name.encode())
    kernel = Kernel(image=tmp_path / "vmlinuz", modules=tmp_path)
    wanted = ["virtio_pci", "9pnet_virtio", "9p"]
    loaded = [data.decode() for _, data in boot_modules(kernel, wanted)]
    assert loaded == ["9pnet", "9pnet-virtio", "netfs", "9p"]


def test_the_first_root_has_the_modules_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initramfs, "BUSYBOX", tmp_path / "busybox")
    initramfs.BUSYBOX.write_bytes(b"odd")
    data, files = archive([("z.ko", b"first"), ("a.ko", b"second")]), {}
    while data:
        assert data[:6] == b"070701"
        fields = [int(data[at : at + 8], 16) for at in range(6, 110, 8)]
        size, name_size = fields[6], fields[11]
        content = (110 + name_size + 3) & ~3
        name = data[110 : 110 + name_size - 1].decode()
        files[name] = data[content : content + size]
        data = data[(content + size + 3) & ~3 :]
    assert files["modules/00-z.ko"] == b"first"
    assert files["modules/01-a.ko"] == b"second"
    assert files["bin/busybox"] == b"odd"
    assert files["init"].startswith(b"#!/bin/busybox sh\n")
    assert "TRAILER!!!" in files


def test_a_kernel_must_have_what_older_ones_had() -> None:
    assert SUITES.keys() == BROUGHT.keys()
    sets = [mandatory(required(version)) for version in SUITES]
    assert all(older <= newer for older, newer in itertools.pairwise(sets))
    assert {"kprobe", "fentry", "lsm"} <= sets[0]


def test_tests_that_are_left_out_exist() -> None:
    kernel_tests = Path(__file__).parent / "kernel"
    assert all((kernel_tests / name).exists() for name in LEFT_OUT)


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_directory() == Path("/x/busted/kernels")
    monkeypatch.setenv("BUSTED_KERNELS", "/kernels")
    assert cache_directory() == Path("/kernels")


def test_the_table_of_answers_has_a_column_for_each_kernel() -> None:
    old = Features({"x": Feature("x", "no", "6.1")})
    new = Features({"x": Feature("x", "yes", "6.1")})
    made = table({"5.10.0-1": old, "6.1.0-1": new})
    assert made == (
        "|  | since | 5.10.0-1 | 6.1.0-1 |\n| --- | --- | --- | --- |\n| x | 6.1 | no | yes |\n"
    )
    document = with_table(DOCUMENT.read_text(), made)
    assert with_table(document, made) == document
    assert f"{BEGIN}{made}{END}" in document
