from pathlib import Path

import pytest

from busted.policy import sources
from busted.policy.sources import INLINE, PolicyError, Source, Sources, read, state

POLICY = 'package busted\ndecision := "audit"\n'


def test_a_directory_is_read_with_all_below_it_but_tests_and_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "b.rego").write_text(POLICY)
    (tmp_path / "b_test.rego").write_text("package b_test\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a.rego").write_text("package a\n")
    (tmp_path / "a" / "data.yaml").write_text("a: 1\n")
    (tmp_path / "a" / "other.json").write_text("{}")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "c.rego").write_text("nonsense")
    (tmp_path / ".b.rego.swp").write_text("nonsense")

    found = read(tmp_path)

    assert [m.name for m in found.modules] == ["b.rego", "a/a.rego"]
    assert found.data == (Source("a/data.yaml", "a: 1\n"),)
    assert "b_test.rego" in [m.name for m in read(tmp_path, tests=True).modules]


def test_one_file_or_a_text_is_a_policy_too(tmp_path: Path) -> None:
    (tmp_path / "only.rego").write_text("\ufeff" + POLICY)

    assert read(tmp_path / "only.rego") == Sources((Source("only.rego", POLICY),))
    assert read(POLICY) == Sources((Source(INLINE, POLICY),))


def test_no_policy_is_an_error_and_not_one_that_allows_everything(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing"):
        with pytest.raises(PolicyError, match="no "):
            read(place)


def test_what_is_too_large_or_no_text_is_told_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.rego").write_bytes(b"package busted\n# \xff\n")
    with pytest.raises(PolicyError, match=r"a\.rego: error: not UTF-8 at byte 17"):
        read(tmp_path)

    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 10)
    with pytest.raises(PolicyError, match=r"a\.rego: error: larger than 10 bytes"):
        read(tmp_path)
    with pytest.raises(PolicyError, match="inline: error: larger than 10 bytes"):
        read(POLICY)

    monkeypatch.setattr(sources, "MAX_FILES", 0)
    with pytest.raises(PolicyError, match="more than 0 files"):
        read(tmp_path)


def test_a_directory_linked_into_itself_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text(POLICY)
    (tmp_path / "loop").symlink_to(tmp_path)

    assert [m.name for m in read(tmp_path).modules] == ["a.rego"]


def test_every_change_of_a_file_changes_the_state(tmp_path: Path) -> None:
    file = tmp_path / "a.rego"
    seen = [state(tmp_path)]
    file.write_text(POLICY)
    seen.append(state(tmp_path))
    file.write_text(POLICY + "\n")
    seen.append(state(tmp_path))
    (tmp_path / "new").write_text(POLICY + "\n")
    (tmp_path / "new").rename(file)
    seen.append(state(tmp_path))
    file.unlink()
    tmp_path.rmdir()
    seen.append(state(tmp_path))

    assert len(set(seen)) == 5
    assert state(tmp_path) == seen[-1]
