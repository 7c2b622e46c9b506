from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.ml.classifier import BehaviorClass, Generic, Limits, LlmApi, MlClassifier, Unknown
from busted.ml.features import FEATURES
from busted.records import ProcessKey, TrafficSlice
from tests.ml.models import forest
from tests.ml.windows import PROCESS, downloaded, polled, streamed

U32, U16 = st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1)
SLICES = st.lists(st.builds(TrafficSlice, U32, U32, U32, U16, U16), max_size=32)


def observe(
    classifier: MlClassifier, slices: tuple[TrafficSlice, ...], cookie: int = 5
) -> BehaviorClass:
    return classifier.observe(PROCESS, cookie, 0, slices, 10)


def test_a_streamed_answer_is_called_an_llms() -> None:
    assert isinstance(observe(MlClassifier(forest()), streamed()), LlmApi)


@pytest.mark.parametrize("slices", [downloaded(), polled()])
def test_other_traffic_is_called_generic(slices: tuple[TrafficSlice, ...]) -> None:
    assert isinstance(observe(MlClassifier(forest()), slices), Generic)


def test_what_says_too_little_or_was_never_seen_is_unknown() -> None:
    nothing = (0.0,) * len(FEATURES)
    strange = MlClassifier(forest(lowest=nothing, highest=nothing))

    assert observe(MlClassifier(forest()), streamed()[:2]) == Unknown()
    assert observe(strange, streamed()) == Unknown()
    assert observe(MlClassifier(forest(llm=0.999, generic=0.001)), streamed()) == Unknown()


def test_a_window_that_says_nothing_leaves_what_was_known() -> None:
    classifier = MlClassifier(forest())
    known = observe(classifier, streamed())

    assert observe(classifier, streamed()[:2]) == known


def test_the_last_windows_of_a_connection_count_together() -> None:
    classifier = MlClassifier(forest(), limits=Limits(windows=2))
    observe(classifier, streamed())
    assert observe(classifier, downloaded()) == Unknown()

    assert isinstance(observe(classifier, downloaded()), Generic)


def test_a_process_is_what_its_likeliest_connection_is() -> None:
    classifier = MlClassifier(forest())
    observe(classifier, downloaded(), 1)
    observe(classifier, streamed(), 2)

    assert isinstance(classifier.of_process(PROCESS), LlmApi)
    assert classifier.of_process(ProcessKey(9, 9)) == Unknown()


def test_the_name_of_the_host_says_which_provider_it_is() -> None:
    classifier = MlClassifier(forest())
    observe(classifier, streamed(), 2)
    observe(classifier, downloaded(), 1)

    found = classifier.of_connection(2, "openai")
    assert isinstance(found, LlmApi)
    assert found.provider == "openai"
    assert isinstance(classifier.of_connection(1, "openai"), Generic)


def test_what_decoded_connections_are_corrects_the_confidence() -> None:
    classifier = MlClassifier(forest())
    for cookie in range(300):
        observe(classifier, streamed(), cookie)
        classifier.label(cookie, False)

    assert not isinstance(classifier.of_connection(299), LlmApi)
    classifier.label(10**6, True)  # nobody knows it


def test_connections_are_bounded() -> None:
    classifier = MlClassifier(forest(), limits=Limits(connections=2))
    for cookie in (1, 2, 3):
        observe(classifier, streamed(), cookie)

    assert classifier.of_connection(1) == Unknown()
    assert classifier.of_connection(3) != Unknown()


@given(st.lists(st.tuples(st.integers(0, 3), U32, SLICES), max_size=8))
def test_it_never_raises_on_what_windows_hold(
    windows: list[tuple[int, int, list[TrafficSlice]]],
) -> None:
    classifier = MlClassifier(forest())
    for cookie, window, slices in windows:
        found = classifier.observe(PROCESS, cookie, window, slices, window)
        assert isinstance(found, LlmApi | Generic | Unknown)
        classifier.label(cookie, True)
