"""What the readers are given beside the bytes: tables that an operator may add to, and a key."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from busted.classifier.pii import Scanner
from busted.classifier.prices import Price, Prices
from busted.classifier.prices_table import PRICES
from busted.classifier.providers import Provider, Providers
from busted.classifier.providers_table import PROVIDERS

DEFAULT_SCANNER = Scanner()


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Who serves models, what tokens cost, what counts as personal data or a secret, and the key
    of the hashes that stand for credentials.

    `credential_key` is random and of one run, at most 64 bytes; without it no credential is
    told, since anybody could then try which one gives a hash. With `judges_ahead` what a
    conversation says ahead of its next request is observed by itself too, marked as such.
    """

    providers: Providers
    prices: Prices
    credential_key: bytes = b""
    scanner: Scanner = DEFAULT_SCANNER
    judges_ahead: bool = False


def with_rows(
    providers: Iterable[Provider], prices: Iterable[Price], scanner: Scanner = DEFAULT_SCANNER
) -> Options:
    """Return our tables with an operator's rows, which win over ours."""
    return Options(
        scanner=scanner,
        providers=Providers((*providers, *PROVIDERS)),
        prices=Prices(PRICES, prices),
    )


DEFAULT_OPTIONS = with_rows((), ())
