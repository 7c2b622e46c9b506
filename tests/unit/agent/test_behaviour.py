from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from busted.agent.behaviour import (
    MAX_LABELS,
    Behaviour,
    BehaviourError,
    BehaviourSettings,
    open_behaviour,
    read_counts,
    write_counts,
)
from busted.ml.classifier import LlmApi
from tests.ml.models import forest, model
from tests.ml.windows import PROCESS, downloaded, streamed, traffic


def test_a_connection_is_told_as_what_it_behaves_like() -> None:
    behaviour = Behaviour(forest())
    behaviour.feed(traffic(streamed(), cookie=1))
    behaviour.feed(traffic(downloaded(), cookie=2))

    answer = behaviour.of_connection(1, "openai")
    assert answer is not None
    assert (answer.kind, answer.provider, answer.model) == ("llm_api", "openai", "test")
    other = behaviour.of_connection(2, "openai")
    assert other is not None
    assert (other.kind, other.provider) == ("generic", None)
    assert behaviour.of_connection(3, None) is None
    assert behaviour.of_process(PROCESS) == behaviour.of_connection(1, None)
    assert behaviour.windows == {"llm_api": 1, "generic": 1, "unknown": 0}


def test_what_looks_like_an_llm_and_was_not_decoded_is_novel_once() -> None:
    behaviour = Behaviour(forest())
    found = behaviour.feed(traffic(streamed(), cookie=1))

    assert isinstance(found, LlmApi)
    assert behaviour.is_novel(1, found)
    assert not behaviour.is_novel(1, found)
    assert not behaviour.is_novel(2, LlmApi(0.85))
    behaviour.label(3, True)
    assert not behaviour.is_novel(3, found)


def test_decoded_connections_teach_window_by_window() -> None:
    behaviour = Behaviour(forest())
    behaviour.feed(traffic(streamed(), cookie=1))
    assert behaviour.changed_counts() is None
    behaviour.label(1, False)
    behaviour.feed(traffic(streamed(), cookie=1, window=1))

    counts = behaviour.changed_counts()
    assert counts is not None
    assert sum(bin.windows for bin in counts.bins) == 2
    assert behaviour.changed_counts() is None
    assert behaviour.labelled(1) is False


def test_labels_are_bounded() -> None:
    behaviour = Behaviour(forest())
    for cookie in range(MAX_LABELS + 5):
        behaviour.label(cookie, True)

    assert behaviour.labelled(0) is None
    assert behaviour.labelled(MAX_LABELS) is True


def test_what_was_taught_is_there_after_a_restart(tmp_path: Path) -> None:
    file, model_file = tmp_path / "calibration.json", tmp_path / "model.json"
    model_file.write_bytes(msgspec.json.encode(model()))
    settings = BehaviourSettings(model=model_file, calibration=file)
    first = open_behaviour(settings)
    for cookie in range(300):
        first.feed(traffic(streamed(), cookie=cookie))
        first.label(cookie, False)
    counts = first.changed_counts()
    assert counts is not None
    write_counts(file, counts)

    second = open_behaviour(settings)

    assert not isinstance(second.feed(traffic(streamed())), LlmApi)
    assert file.stat().st_mode & 0o777 == 0o600
    file.unlink()
    assert isinstance(open_behaviour(settings).feed(traffic(streamed())), LlmApi)


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", b"[" * 70000])
def test_counts_that_cannot_be_read_are_learned_anew(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "calibration.json"
    file.write_bytes(raw)

    assert read_counts(file) is None


def test_a_model_that_is_none_is_the_operators_to_know(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    file.write_text("{}")

    with pytest.raises(BehaviourError, match=r"model\.json"):
        open_behaviour(BehaviourSettings(model=file))
    with pytest.raises(BehaviourError, match="missing"):
        open_behaviour(BehaviourSettings(model=tmp_path / "missing"))
