"""Samples: windows of traffic whose kind is known, to train with and to measure.

Strategy: MessagePack of plain arrays, which compresses to some sixty bytes a window. What was
said on a connection is in none of them, nor who said it: only how much moved when.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busted.ml.features import Context, features
from busted.records import TrafficSlice

FORMAT = 1
# The kind of a streamed answer of a model: what is to be found.
LLM = "llm_stream"
# Whole answers of a model look like any slow service: they are measured, and not trained with.
LLM_WHOLE = "llm_whole"

Part = str
"""`train`; `held_out`: clients and servers never trained with; `unseen`: kinds of neither."""


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One window; `source` tells client, server and pace apart, `connection` the connections."""

    part: Part
    kind: str
    source: str
    connection: int
    context: Context
    slices: tuple[TrafficSlice, ...]

    @property
    def is_llm(self) -> bool:
        """Whether this is the traffic to be found."""
        return self.kind == LLM

    @property
    def client(self) -> str:
        """The first word of the source: what split a model's training is split by."""
        return self.source.split(" ", 1)[0]


class Samples(msgspec.Struct, frozen=True):
    """A file of samples; `description` says how they were made."""

    format: int
    description: str
    samples: tuple[Sample, ...]


class SamplesError(Exception):
    """A file has no samples that this version reads; the message is one line."""


def write_samples(description: str, samples: Sequence[Sample]) -> bytes:
    """Return a file of samples, not compressed."""
    return msgspec.msgpack.encode(Samples(FORMAT, description, tuple(samples)))


def read_samples(raw: bytes) -> Samples:
    """Return what a file of samples holds. Raises SamplesError."""
    try:
        read = msgspec.msgpack.decode(raw, type=Samples)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SamplesError(f"no samples: {error}") from error
    if read.format != FORMAT:
        raise SamplesError(f"samples of format {read.format}, this Busted reads {FORMAT}")
    return read


def numbers(samples: Sequence[Sample]) -> list[tuple[Sample, list[float]]]:
    """Return the features of each sample that has enough in it to say something."""
    found = ((sample, features(sample.slices, sample.context)) for sample in samples)
    return [(sample, row) for sample, row in found if row is not None]
