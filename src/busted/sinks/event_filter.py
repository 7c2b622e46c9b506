"""Whether an event is one of those that a filter asks for, without a history.

The answer is the one that the history gives (`busted.sinks.history_query`): words are found as its
full-text index finds them, folded and without accents.

Left out: the last details of SQLite's tables of Unicode 6.1, of scripts that came later.
"""

from __future__ import annotations

import re
import unicodedata

from busted.events import Event
from busted.sinks.history import agent, finding_kinds, kind, nanoseconds, subject, text_of, words
from busted.sinks.history_query import Filter, terms

# What the tokenizer unicode61 takes for words (https://sqlite.org/fts5.html, 4.3.1).
_TOKEN = re.compile(r"[^\W_]+")


def agrees(event: Event, filter: Filter) -> bool:
    """Tell whether an event has all that a filter asks for."""
    action = event.action
    for wanted, value in (
        (filter.type, kind(event)),
        (filter.agent, agent(event)),
        (filter.provider, text_of(action, "provider")),
        (filter.model, text_of(action, "model")),
        (filter.pid, event.process.pid),
        (filter.subject, subject(event)),
        (filter.decision, event.policy.decision if event.policy else None),
        (filter.session, event.session_id),
        (filter.exchange, event.exchange_id),
    ):
        if wanted is not None and wanted != value:
            return False
    if filter.since_ns is not None and nanoseconds(event.time) < filter.since_ns:
        return False
    if filter.until_ns is not None and nanoseconds(event.time) >= filter.until_ns:
        return False
    if filter.finding is not None and filter.finding not in finding_kinds(event):
        return False
    return filter.text is None or _has(words(event), filter.text)


def _has(text: str, wanted: str) -> bool:
    phrases = [(_tokens(phrase), beginning) for phrase, beginning in terms(wanted)]
    # A term of signs only asks for nothing, beside others.
    phrases = [(tokens, beginning) for tokens, beginning in phrases if tokens]
    there = _tokens(text)
    return bool(phrases) and all(_stands_in(there, *phrase) for phrase in phrases)


def _stands_in(there: list[str], phrase: list[str], beginning: bool) -> bool:
    *first, last = phrase
    return any(
        there[at : at + len(first)] == first
        and (token.startswith(last) if beginning else token == last)
        for at, token in enumerate(there[len(first) :])
    )


def _tokens(text: str) -> list[str]:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return _TOKEN.findall(plain.lower())
