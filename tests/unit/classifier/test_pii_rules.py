import json
import re
import typing

from busted.classifier.pii_rules import Kind, Pack, built_in
from tests.requirements import ROOT

RULES = built_in("US", frozenset(typing.get_args(Pack)))
PATTERN = typing.get_args(Kind)[1].pattern


def test_every_kind_is_documented_and_no_other() -> None:
    document = (ROOT / "docs" / "pii.md").read_text()
    table = document.split("## Kinds")[1].split("`custom`")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    described = {word for row in rows for word in re.findall(r"`([a-z0-9_]+)`", row)}

    categories = {rule.category for rule in RULES}
    assert described - categories == {rule.kind for rule in RULES} | {"canary"}


def test_the_policies_that_come_with_it_know_every_kind_of_secret() -> None:
    known = json.loads((ROOT / "policies" / "default" / "data.json").read_text())

    secrets = {rule.kind for rule in RULES if rule.category == "secret"}
    assert set(known["secrets"]["kinds"]) == secrets


def test_kinds_may_stand_in_tokens_and_labels() -> None:
    assert all(re.fullmatch(PATTERN, rule.kind) for rule in RULES)


def test_a_sample_shows_no_more_than_what_every_value_begins_with() -> None:
    shown = {rule.kind: rule.shown for rule in RULES if rule.category == "secret"}

    assert all(last == 0 for _, last in shown.values())


def test_a_region_decides_which_national_forms_of_telephone_numbers_count() -> None:
    def patterns(region: str) -> set[str]:
        return {rule.begins.decode() for rule in built_in(region) if rule.kind == "phone"}

    assert patterns("CA") == patterns("US")
    assert patterns("DE") < patterns("US")
