from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.ml.features import Context
from busted.ml.samples import (
    FORMAT,
    Sample,
    Samples,
    SamplesError,
    numbers,
    read_samples,
    write_samples,
)
from tests.ml.windows import downloaded, streamed

ANSWER = Sample("train", "llm_stream", "curl aiohttp gpt-4o", 5, Context(), streamed())
FILE = Sample("train", "download", "requests node", 6, Context(1, 2, 3), downloaded())


def test_samples_survive_their_file() -> None:
    read = read_samples(write_samples("made for a test", [ANSWER, FILE]))

    assert read == Samples(FORMAT, "made for a test", (ANSWER, FILE))
    assert [sample.is_llm for sample in read.samples] == [True, False]
    assert read.samples[0].client == "curl"


def test_windows_that_say_too_little_have_no_numbers() -> None:
    short = Sample("train", "rest", "curl", 5, Context(), streamed()[:2])

    assert [sample for sample, _ in numbers([short, ANSWER])] == [ANSWER]


@given(st.binary())
def test_what_is_no_file_of_samples_is_refused(raw: bytes) -> None:
    with pytest.raises(SamplesError):
        read_samples(raw)
