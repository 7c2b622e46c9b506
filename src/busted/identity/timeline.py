"""What each identity did and when, bounded for one and for all of them together.

An entry says what kind of thing was done, and with what: a model, a tool, a program, never what
was said. Entries stand in the order of their times, which is not always that in which they came.

The behaviour digest is the hash of the commonest sequences of three actions, so that two agents
that work alike, or one that begins to work otherwise, are seen to.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterable

import msgspec

# The last hour or so of a busy agent; the store keeps more.
MAX_ENTRIES = 256
# Over all identities: 10 MB. Then those that were quiet longest lose theirs first.
MAX_ALL_ENTRIES = 50_000
MAX_WHAT_CHARS = 120

NGRAM = 3
MAX_NGRAMS = 8


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One action; `time_ns` since 1970."""

    time_ns: int
    kind: str
    what: str
    instance: str
    exchange: str = ""


class Timelines:
    """The entries of all identities, by identity id."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_all: int = MAX_ALL_ENTRIES) -> None:
        """Keep so many entries of one identity, and of all."""
        self._max_entries, self._max_all = max_entries, max_all
        self._entries: OrderedDict[str, list[Entry]] = OrderedDict()
        self._count = 0

    def add(self, identity: str, entry: Entry) -> None:
        """Append an entry, and let older ones go where there are too many."""
        entries = self._entries.get(identity)
        if entries is None:
            entries = self._entries[identity] = []
        else:
            self._entries.move_to_end(identity)
        entries.append(entry)
        self._count += 1
        if len(entries) > self._max_entries:
            del entries[0]
            self._count -= 1
        while self._count > self._max_all:
            quietest, others = next(iter(self._entries.items()))
            del others[0]
            self._count -= 1
            if not others:
                del self._entries[quietest]

    def of(self, identity: str) -> tuple[Entry, ...]:
        """Return an identity's entries in the order of their times."""
        return in_order(self._entries.get(identity, ()))

    def forget(self, identity: str) -> None:
        """Drop an identity's entries."""
        self._count -= len(self._entries.pop(identity, ()))

    def __len__(self) -> int:
        """Count all entries."""
        return self._count


def in_order(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return entries by their times; those of one moment by what they are, however they came."""
    return tuple(sorted(entries, key=msgspec.structs.astuple))


def summary(entries: Iterable[Entry]) -> str:
    """Return how often what was done, the most frequent first: `Prompt x3, ToolCall x1`."""
    counts = Counter(entry.kind for entry in entries)
    ordered = sorted(counts.items(), key=lambda kind: (-kind[1], kind[0]))
    return ", ".join(f"{kind} x{count}" for kind, count in ordered)


def digest(entries: Iterable[Entry]) -> str:
    """Return the behaviour digest of entries in order; empty where they are too few to tell."""
    kinds = [f"{entry.kind}:{_verb(entry)}" for entry in entries]
    counts = Counter(zip(*(kinds[i:] for i in range(NGRAM)), strict=False))
    common = sorted(counts.items(), key=lambda ngram: (-ngram[1], ngram[0]))[:MAX_NGRAMS]
    if not common:
        return ""
    text = "|".join(sorted(">".join(ngram) for ngram, _ in common))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _verb(entry: Entry) -> str:
    # Which tool is behaviour; which host or model is configuration.
    return entry.what if entry.kind in ("ToolCall", "McpRequest", "A2aRequest") else ""
