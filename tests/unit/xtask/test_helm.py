from pathlib import Path

import pytest

from xtask import helm

VALUES = """\
# The head of the file.

# Its name.
name: ""
group:
  # One of
  # two | three.
  first: two
  # A map.
  map:
    # Not a row.
    inside: 1
  plain: true
# A list.
list: [1]
"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    (tmp_path / "values.yaml").write_text(VALUES)
    (tmp_path / "README.md").write_text(f"# Chart\n\n{helm.BEGIN}old\n{helm.END}\nMore.\n")
    return tmp_path


def test_each_value_with_a_comment_is_a_row(chart: Path) -> None:
    assert list(helm.described(VALUES)) == [
        ("name", "", "Its name."),
        ("group.first", "two", "One of two \\| three."),
        ("group.map", {"inside": 1}, "A map."),
        ("list", [1], "A list."),
    ]


def test_only_the_table_is_written_and_writing_it_again_changes_nothing(chart: Path) -> None:
    text = helm.readme(chart)
    assert text.startswith("# Chart\n\n")
    assert text.endswith("\nMore.\n")
    assert "| `name` | none | Its name. |\n" in text
    assert '| `group.map` | `{"inside": 1}` | A map. |\n' in text
    assert "old" not in text
    (chart / "README.md").write_text(text)
    assert helm.readme(chart) == text


def test_the_chart_tells_all_its_values() -> None:
    assert (helm.CHART / "README.md").read_text() == helm.readme()
