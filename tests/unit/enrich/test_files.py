"""Small files of others."""

from __future__ import annotations

import os
from pathlib import Path

from busted.enrich.files import read_file


def test_a_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abcdef")

    assert read_file(path, 100) == b"abcdef"
    assert read_file(path, 4) == b"abcd"
    assert read_file(path, 0) == b""


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    names = ("pipe", ".", "none", "a\0b")

    assert [read_file(tmp_path / name, 100) for name in names] == [None] * 4


def test_of_a_user_only_their_own_files_are_read_and_no_links(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")

    assert read_file(tmp_path / "file", 100, os.getuid()) == b"x"
    assert read_file(tmp_path / "file", 100, os.getuid() + 1) is None
    assert read_file(tmp_path / "link", 100, os.getuid()) is None
    assert read_file(tmp_path / "link", 100) == b"x"
