"""What two system prompts have in common, without keeping either.

A fingerprint is the hash of the opening, its first words, and a simhash of all words (Charikar,
"Similarity Estimation Techniques from Rounding Algorithms", 2002). Agents made from one template
differ in a few words, mostly the first ones, so that a simhash alone takes them for one agent;
and one agent's prompt changes behind its opening: today's date, a list of files. What changes by
itself (dates, times, paths, long numbers, hashes) counts as one and the same word.

What the words mean, an embedding says, where there is a model. It is a third part of the
fingerprint, and tells a prompt that was written anew: other words, but the same meaning. Agents of
one template mean nearly the same with nearly the same words, so it says nothing where the words are
alike.
"""

from __future__ import annotations

import functools
import hashlib
import re

import msgspec

# Who an agent is stands at the beginning; what follows is context that changes.
MAX_CHARS = 4096
OPENING_WORDS = 12
# The system prompts that the agents of a host send again and again.
MAX_REMEMBERED = 256
# The words of those: a few hundred each, most of them shared.
MAX_WORDS_REMEMBERED = 4096

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_VOLATILE = re.compile(
    r"\d{4}-\d\d-\d\d(?:[t ]\d\d:\d\d[\d:.]*(?:z|[+-]\d\d:?\d\d)?)?"  # RFC 3339
    rf"|\b{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?\b"
    rf"|\b\d{{1,2}}\.? {_MONTH}\.?(?: \d{{4}})?\b"
    r"|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b,?"
    r"|\b\d{1,2}:\d\d(?::\d\d)?(?: ?[ap]m)?\b"
    r"|(?<![\w/])(?:~|\.{1,2})?(?:/[\w.@+-]+){2,}/?"  # a path
    r"|\bv?\d+(?:\.\d+)+\b"  # a version
    r"|\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b|\b(?=[a-f]*\d)[0-9a-f]{12,}\b|\b\d{6,}\b"
)
_WORD = re.compile(r"[^\W_]+|#")

_BITS = 64
# Wide enough to count all words of MAX_CHARS in each lane.
_LANE_BITS = 13


# Prompts with this little in common are not of one template (PromptPrint.likeness): those of
# twenty words that differ in five have 0.7 ...
OTHER_WORDS = 0.65
# ... and where this share of signs agrees are one prompt: a cosine of cos(0.12 pi), 0.93, since
# signs differ as often as the angle is of pi (Charikar, 2002).
SAME_MEANING = 0.88
# What a model tells its meanings by.
_TAG_BYTES = 4


class PromptPrint(msgspec.Struct, frozen=True, omit_defaults=True):
    """The fingerprint of a system prompt; `words` is how many it was made of.

    `meaning` is the signs of its embedding behind a tag of the model, empty without one.
    """

    opening: int
    simhash: int
    words: int
    meaning: bytes = b""

    def likeness(self, other: PromptPrint) -> float:
        """Return how much two prompts are alike, 0 to 1; unrelated ones reach about 0.6."""
        distance = (self.simhash ^ other.simhash).bit_count()
        return 1 - distance / _BITS

    def is_reworded(self, other: PromptPrint) -> bool:
        """Tell whether two prompts mean the same in other words, as far as a model can tell."""
        mine, theirs = self.meaning, other.meaning
        if not mine or len(mine) != len(theirs) or mine[:_TAG_BYTES] != theirs[:_TAG_BYTES]:
            return False
        distance = (int.from_bytes(mine) ^ int.from_bytes(theirs)).bit_count()
        agree = 1 - distance / (8 * (len(mine) - _TAG_BYTES))
        return agree >= SAME_MEANING and self.likeness(other) < OTHER_WORDS


def prompt_print(text: str | None) -> PromptPrint | None:
    """Return the fingerprint of a system prompt, None where it has no words."""
    return _remembered(text[:MAX_CHARS]) if text else None


@functools.lru_cache(MAX_REMEMBERED)
def _remembered(text: str) -> PromptPrint | None:
    words = _WORD.findall(_VOLATILE.sub("#", text.casefold()))
    if not words:
        return None
    return PromptPrint(_hash(" ".join(words[:OPENING_WORDS])), _simhash(words), len(words))


def _simhash(words: list[str]) -> int:
    counts = sum(map(_lanes, words))
    mask, half = (1 << _LANE_BITS) - 1, len(words) / 2
    value = 0
    for bit in range(_BITS):
        if counts >> bit * _LANE_BITS & mask > half:
            value |= 1 << bit
    return value


@functools.lru_cache(MAX_WORDS_REMEMBERED)
def _lanes(word: str) -> int:
    """Return the bits of a word's hash, each in a lane of its own, so that adding counts them."""
    value = _hash(word)
    return sum((value >> bit & 1) << bit * _LANE_BITS for bit in range(_BITS))


def _hash(text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=_BITS // 8).digest(), "big")
