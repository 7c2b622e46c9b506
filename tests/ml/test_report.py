"""The page says what the shipped model does, and nothing leaked from what it was trained with."""

from __future__ import annotations

from busted.agent.behaviour import shipped_model
from busted.agent.behaviour_training import figures
from busted.ml.samples import LLM
from tests.ml.report import PAGE, page, samples
from tests.ml.traffic.profiles import PROFILES
from tests.ml.traffic.scenarios import SCENARIOS, Scenario


def rows(part: str) -> list[Scenario]:
    return [row for row in SCENARIOS if row.part == part]


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page()


def test_the_figures_in_the_model_are_those_of_the_samples() -> None:
    assert shipped_model().model.figures == figures(shipped_model(), samples().samples)


def test_no_client_server_pace_or_kind_is_on_both_sides() -> None:
    trained, held_out = rows("train"), rows("held_out")

    assert {row.client for row in trained}.isdisjoint(row.client for row in held_out)
    assert {row.profile for row in trained} & {row.profile for row in held_out} == {""}
    assert {row.kind for row in rows("unseen")}.isdisjoint(row.kind for row in trained + held_out)
    # The page says so.
    shared = {row.kind for row in held_out if row.server in {one.server for one in trained}}
    assert shared == {"chat"}


def test_samples_are_those_of_the_scenarios() -> None:
    parts = {(row.client, row.server, row.kind): row.part for row in SCENARIOS}

    for sample in samples().samples:
        client, server, *_ = sample.source.split(" ")
        assert parts[client, server, sample.kind] == sample.part
    assert {row.profile for row in SCENARIOS if row.kind == LLM} == PROFILES.keys()
