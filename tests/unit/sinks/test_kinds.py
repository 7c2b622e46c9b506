from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from busted.sinks import kinds
from busted.sinks.channel import WrongOutput
from busted.sinks.file import FileSettings
from busted.sinks.kinds import Choice, check_together, choose, open_delivery, parse
from busted.sinks.webhook import WebhookSettings


def test_an_output_is_its_kind_target_and_settings() -> None:
    text = "webhook:https://host:8443/hook?format=array&batch_events=7&content=none&ca_file=/ca"

    assert parse(text) == Choice(
        "webhook",
        "https://host:8443/hook",
        WebhookSettings(format="array", batch_events=7, content="none", ca_file=Path("/ca")),
    )
    assert parse("file:/var/log/x.jsonl") == Choice("file", "/var/log/x.jsonl", FileSettings())
    assert parse("stdout").kind == parse("stdout:?format=json").kind == "stdout"


def test_a_table_of_the_configuration_file_says_the_same() -> None:
    row = {"kind": "file", "target": "/x", "rotate_bytes": 5, "compress": "zstd"}

    assert choose(row) == parse("file:/x?rotate_bytes=5&compress=zstd")


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_every_kind_can_be_chosen(kind: str) -> None:
    assert choose({"kind": kind, "target": "x", "name": "other"}).name == "other"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"kind": "fax", "target": "x"}, "no output is called 'fax'; there are stdout, file"),
        ({"target": "x"}, "no output is called None"),
        ({"kind": "file"}, "file needs a target: file:PATH"),
        ({"kind": "file", "target": 7}, "file needs a target"),
        ({"kind": "stdout", "target": "x"}, "stdout has no target"),
        ({"kind": "file", "target": "x", "rotate": 1}, "no setting 'rotate'; it has batch_bytes"),
        ({"kind": "file", "target": "x", "keep": "many"}, "Expected `int`"),
        ({"kind": "file", "target": "x", "keep": 0}, "`int` >= 1"),
        ({"kind": "file", "target": "x", "content": "some"}, "Invalid enum value 'some'"),
        ({"kind": "webhook", "target": "x", "ca_file": 3}, "expected the path of a file"),
        ({"kind": "file", "target": "x", "name": "../up"}, "a name has letters"),
    ],
)
def test_what_makes_no_sense_is_told(row: Mapping[str, Any], message: str) -> None:
    with pytest.raises(WrongOutput) as caught:
        choose(row)
    assert message in str(caught.value)


def test_settings_that_are_none_are_told() -> None:
    with pytest.raises(WrongOutput, match="SETTING=VALUE"):
        parse("file:/x?keep")


def test_outputs_of_one_name_are_told() -> None:
    with pytest.raises(WrongOutput, match="two outputs are called 'file'"):
        check_together([parse("file:/a"), parse("file:/b")])
    check_together([parse("file:/a"), parse("file:/b?name=other")])


def test_a_missing_library_is_told_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name}", name="nats")

    monkeypatch.setattr(kinds.importlib, "import_module", away)  # type: ignore[attr-defined]
    with pytest.raises(WrongOutput) as caught:
        parse("nats:nats://host")
    assert str(caught.value) == "nats needs nats: pip install 'busted[nats]'"


def test_a_remote_output_has_a_spool_of_its_name(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    delivery = open_delivery(parse(f"webhook:http://127.0.0.1:9/?spool={spool}&name=audit"))

    assert delivery.name == "audit"
    assert (spool / "audit.db").exists()
    with pytest.raises(WrongOutput, match="output audit: cannot use the spool"):
        open_delivery(parse(f"webhook:http://127.0.0.1:9/?spool={spool}&name=audit"))


def test_an_output_that_cannot_be_opened_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(WrongOutput, match="output file: cannot write to"):
        open_delivery(parse(f"file:{tmp_path}"))
