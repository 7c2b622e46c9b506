"""A model of static embeddings that a test makes: random vectors, one for all words of a meaning.

It knows which words of the scenarios mean the same because it is told, so it shows what is done
with meanings and nothing of how well a real model finds them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace

DIMENSIONS = 256


def make(directory: Path, texts: Iterable[str], alike: Iterable[Iterable[str]] = ()) -> Path:
    """Write a model that knows the words of `texts`; each group of `alike` means the same."""
    words = sorted({word for text in texts for word in _words(text)})
    tokens = {"[UNK]": 0, **{word: place for place, word in enumerate(words, 1)}}
    random = numpy.random.default_rng(7)
    vectors = random.standard_normal((len(tokens), DIMENSIONS)).astype(numpy.float32)
    vectors[0] = 0
    for group in alike:
        first, *others = (tokens[word] for word in group)
        for other in others:
            vectors[other] = vectors[first]
    tokenizer = Tokenizer(WordLevel(tokens, unk_token="[UNK]"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    directory.mkdir(parents=True)
    tokenizer.save(str(directory / "tokenizer.json"))
    save_file({"embeddings": vectors}, directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps({"normalize": True}))
    return directory


def _words(text: str) -> list[str]:
    return [word for word, _ in Whitespace().pre_tokenize_str(text.lower())]
