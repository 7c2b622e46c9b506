"""What an answer cost: tokens times list prices.

Strategy: a price is found by the provider's and the model's exact names, or by the name with a
date behind it, as in `gpt-4o-2024-08-06`; never by a mere beginning, since `gpt-4o-mini` is
not `gpt-4o`. What cannot be told has no cost, which is not a cost of zero.

Our rows stand in `prices_table`; an operator's table goes before them.

Left out: what a list price is not. Discounts, batches, priority and flexible tiers, free
quotas and subscriptions (an agent that runs on one costs nothing by the token), fees by the
call, images and audio. Writing to a cache is taken at the price of the shorter lifetime.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from busted.classifier.providers import ProviderId
from busted.events import Usage

TOKENS = 1_000_000
# A millionth of a cent: the cheapest token has a hundred times that.
DECIMALS = 9

# OpenAI: -2024-08-06, Anthropic: -20250929.
_DATE = re.compile(r"-20\d\d(-?)(0[1-9]|1[0-2])\1(0[1-9]|[12]\d|3[01])$")

Rate = Annotated[float, Meta(ge=0, le=1_000_000)]


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What some models of a provider cost, in US dollars for a million tokens.

    `cached` is for input read from the provider's cache, `cache_written` for input stored
    there; without them it costs as all input. The row is for requests of more than `above`
    tokens, where a model has a dearer one for long ones.
    """

    provider: ProviderId
    models: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)]
    input: Rate
    output: Rate
    cached: Rate | None = None
    cache_written: Rate | None = None
    above: Annotated[int, Meta(ge=0)] = 0


class Prices:
    """Tables of prices, ready to be searched."""

    def __init__(self, *tables: Iterable[Price]) -> None:
        """Index the rows; all that a table says of a model replaces what the ones before say."""
        self._rows: dict[tuple[str, str], dict[int, Price]] = {}
        for table in tables:
            told: defaultdict[tuple[str, str], dict[int, Price]] = defaultdict(dict)
            for row in table:
                for model in row.models:
                    told[row.provider, model][row.above] = row
            self._rows |= told

    def cost(self, provider: str | None, model: str | None, usage: Usage | None) -> float | None:
        """Return what an answer cost in US dollars, or None where that cannot be told."""
        if provider is None or model is None or usage is None or usage.input is None:
            return None
        price = self._price(provider, model, usage.input)
        # An answer that is no text has no output to count: embeddings.
        output = 0 if price and price.output == 0 else usage.output
        if price is None or output is None:
            return None
        cached, written = usage.cached or 0, usage.cache_written or 0
        plain = usage.input - cached - written
        if min(plain, cached, written, output) < 0:
            return None  # whoever wrote that cannot count
        total = (
            plain * price.input
            + cached * _rate(price.cached, price)
            + written * _rate(price.cache_written, price)
            + output * price.output
        )
        return round(total / TOKENS, DECIMALS)

    def _price(self, provider: str, model: str, tokens: int) -> Price | None:
        rows = self._rows.get((provider, model))
        if rows is None:
            rows = self._rows.get((provider, _DATE.sub("", model)), {})
        above = max((limit for limit in rows if limit == 0 or tokens > limit), default=None)
        return None if above is None else rows[above]


def _rate(special: float | None, price: Price) -> float:
    return price.input if special is None else special
