"""Personal data and secrets in text: found, and replaced by tokens that say only the kind.

Strategy: each kind has literals that must be there before anything slower looks (most text
has none), then a pattern whose every repeat is bounded or cannot overlap what follows it,
so that no text takes more than linear time, then a check (Luhn for cards). A token is a
keyed hash, so the same value has the same token everywhere and none can be guessed.

Left out, for later: phones, addresses, national numbers, and high-entropy strings of no
known maker.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator

import msgspec

from busted.classifier.direction import Direction
from busted.events import (
    CONTENT_FIELDS,
    Action,
    ChatMessage,
    Finding,
    PiiDetected,
    Prompt,
    Value,
)

# Every text that is scanned comes from a body of which 4 MiB are kept. The rest of a longer
# one is not looked at: `find` is silent on it, and `redact` replaces it as a whole.
MAX_SCAN_CHARS = 4 << 20
# Beyond these a text is a list of addresses; the count is told, not every place.
MAX_FINDINGS = 100

_Span = tuple[int, int, str]

# RFC 5321 section 4.5.3.1: a local part has at most 64 octets. Labels: RFC 1035 section 2.3.4.
_LOCAL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-"
_DOMAIN = re.compile(r"(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])")
# Images for dense screens are called `icon@2x.png`.
_FILE_ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg")
_DOMAIN_CUT = re.compile(r"[A-Za-z0-9.-]{0,253}\Z")

# Card numbers are written in one piece, or in the groups that are printed on the card. The
# first digit is any issuer's; only after it comes the look back at what stands before, because
# the engine can leap to one of some characters but not to a look back.
_CARD = re.compile(
    r"[2-6](?<![\w.].)\d{3}(?:\d{9,15}"
    r"|([ -])(?:\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{6}\1\d{4,5}))(?![\w]|\.\d)",
    re.ASCII,
)
_CARD_CUT = re.compile(r"(?<![\w.])[2-6](?:[ -]?\d){7,18}[ -]?\Z", re.ASCII)
_SEPARATORS = str.maketrans("", "", " -")

# Issuer: beginnings (from, to; as many digits as written) and lengths of its numbers.
# https://en.wikipedia.org/wiki/Payment_card_number#Issuer_identification_number_(IIN)
_ISSUERS = (
    (("4", "4"), (13, 16, 19)),  # Visa
    (("51", "55"), (16,)),  # Mastercard
    (("2221", "2720"), (16,)),
    (("34", "34"), (15,)),  # American Express
    (("37", "37"), (15,)),
    (("6011", "6011"), (16, 19)),  # Discover
    (("644", "659"), (16, 19)),
    (("3528", "3589"), (16, 19)),  # JCB
    (("300", "305"), (14,)),  # Diners Club
    (("36", "36"), (14,)),
    (("38", "39"), (14,)),
    (("62", "62"), (16, 17, 18, 19)),  # UnionPay
)

# Literals of which one must occur, then the pattern; group `value`, where there is one, is
# the secret. No character may stand before a key that could be part of the same word.
_KEYS = (
    # OpenAI, Anthropic, OpenRouter, DeepSeek
    (("sk-",), r"sk-(?:(?:proj|svcacct|admin|ant|or|lf)-[\w-]{16,}|[A-Za-z0-9]{20,})"),
    (("AKIA", "ASIA"), r"A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])"),
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9]{36,}"),
    (("github_pat_",), r"github_pat_\w{22,}"),
    (("AIza",), r"AIza[\w-]{35}"),
    (("xox",), r"xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    (("hf_",), r"hf_[A-Za-z0-9]{30,}"),
    # RFC 6750 section 2.1 gives the characters of a bearer token. Prose says "bearer" too,
    # but what follows it there is a word: a token is long, or has a digit.
    (
        ("earer", "EARER"),
        r"(?i:bearer)[ \t]{1,4}"
        r"(?P<value>(?:(?=[A-Za-z._~+/-]{0,64}\d)[\w.~+/-]{16}|[\w.~+/-]{32})[\w.~+/-]*={0,2})",
    ),
    (
        ("uthorization", "UTHORIZATION"),
        r"""(?i:authorization)["']{0,2}[ \t]{0,4}[:=][ \t]{0,4}["']?"""
        r"""(?:(?i:bearer|basic|token|apikey)[ \t]{1,4})?(?P<value>[\w.~+/:-]{8,}={0,2})""",
    ),
)
_KEY_PATTERNS = tuple(
    (literals, re.compile(r"(?<![A-Za-z0-9])" + pattern, re.ASCII)) for literals, pattern in _KEYS
)
_KEY_CUT = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:sk-|A[KS]IA|gh[pousr]_|github_pat_|AIza|xox[abeoprs]-|hf_)[\w-]{0,200}"
    r"|(?i:bearer|basic)[ \t]{1,4}(?P<value>[\w.~+/-]{4,200}))\Z",
    re.ASCII,
)
# How much of the end of a text may be an unfinished secret.
_CUT_CHARS = 512


def find(text: str) -> tuple[Finding, ...]:
    """Return what was found in the first `MAX_SCAN_CHARS` of a text, in order, none overlapping."""
    return tuple(
        Finding(kind=kind, start=start, end=end)
        for start, end, kind in _spans(text[:MAX_SCAN_CHARS])
    )


def redact(text: str, key: bytes, cut: bool = True) -> str:
    """Return the text with each finding replaced by a token such as `<email:3f9a>`.

    `key` is secret and has at most 64 bytes, BLAKE2b's limit (RFC 7693 section 2.1).

    What may be the beginning of a secret at the very end of a text that was `cut` is replaced
    too, and so is all that was not scanned. A text that ends by itself should not be called
    cut: it may end in a date, which looks like the beginning of a card number.
    """
    scanned = text[:MAX_SCAN_CHARS]
    pieces: list[str] = []
    place = 0
    cut_spans = _cut_spans(scanned) if cut or len(text) > MAX_SCAN_CHARS else ()
    for start, end, kind in _joined([*_spans(scanned), *cut_spans]):
        pieces += (text[place:start], _token(kind, text[start:end], key))
        place = end
    pieces.append(scanned[place:])
    if len(text) > MAX_SCAN_CHARS:
        pieces.append(f"<not scanned: {len(text) - MAX_SCAN_CHARS} characters>")
    return "".join(pieces)


def examine(action: Action, direction: Direction) -> tuple[Action, ...]:
    """Return the action with its findings filled in, and `PiiDetected` after it if there are any.

    The places count in the text of the field that `where` names, e.g. `messages.2`.
    """
    if not hasattr(action, "pii"):
        return (action,)
    findings = [
        msgspec.structs.replace(finding, where=where)
        for where, text in _texts(action)
        for finding in find(text)
    ]
    if not findings:
        return (action,)
    told = PiiDetected(
        direction="write" if direction is Direction.WRITE else "read",
        kinds=tuple(sorted({finding.kind for finding in findings})),
        where=type(action).__name__,
        count=len(findings),
    )
    return (msgspec.structs.replace(action, pii=tuple(findings[:MAX_FINDINGS])), told)


def _texts(action: Value) -> Iterator[tuple[str, str]]:
    """Yield the name and text of each field with content, none of them twice."""
    told = {action.system_prompt, action.user_message} if isinstance(action, Prompt) else set()
    for field in CONTENT_FIELDS.get(type(action), ()):
        value = getattr(action, field)
        if isinstance(value, str):
            yield field, value
        elif isinstance(value, tuple):
            for place, message in enumerate(value):
                if isinstance(message, ChatMessage) and message.content not in told:
                    yield f"{field}.{place}", message.content


def _spans(text: str) -> list[_Span]:
    return _joined([span for search in _SEARCHES for span in search(text)])


def _emails(text: str) -> Iterator[_Span]:
    at = text.find("@")
    while at >= 0:
        before = text[max(0, at - 64) : at]
        start = at - len(before) + len(before.rstrip(_LOCAL))
        domain = _DOMAIN.match(text, at + 1)
        while start < at and text[start] in ".%+-":
            start += 1  # punctuation before an address
        named_file = domain is not None and domain[0].endswith(_FILE_ENDINGS)
        if domain and not named_file and start < at and text[at - 1] != ".":
            yield start, domain.end(), "email"
        at = text.find("@", at + 1)


def _cards(text: str) -> Iterator[_Span]:
    for match in _CARD.finditer(text):
        if _is_card(match[0].translate(_SEPARATORS)):
            yield match.start(), match.end(), "credit_card"


def _is_card(digits: str) -> bool:
    issued = any(
        low <= digits[: len(low)] <= high and len(digits) in lengths
        for (low, high), lengths in _ISSUERS
    )
    return issued and _luhn(digits)


def _luhn(digits: str) -> bool:
    """Check the last digit (ISO/IEC 7812-1 annex B)."""
    doubled = [2 * int(d) for d in digits[-2::-2]]
    total = sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)
    return total % 10 == 0


def _keys(text: str) -> Iterator[_Span]:
    for literals, pattern in _KEY_PATTERNS:
        if not any(literal in text for literal in literals):
            continue
        for match in pattern.finditer(text):
            yield *match.span("value" if pattern.groupindex else 0), "api_key"


_SEARCHES: tuple[Callable[[str], Iterator[_Span]], ...] = (_emails, _cards, _keys)


def _cut_spans(text: str) -> Iterator[_Span]:
    """Yield what may be the beginning of a secret at the end of the text."""
    begin = max(0, len(text) - _CUT_CHARS)
    end = text[begin:]
    if key := _KEY_CUT.search(end):
        start, stop = key.span("value" if key["value"] else 0)
        yield begin + start, begin + stop, "api_key"
    if card := _CARD_CUT.search(end):
        yield begin + card.start(), len(text), "credit_card"
    at = end.rfind("@")
    if at > 0 and _DOMAIN_CUT.match(end, at + 1):
        start, stop = len(end[:at].rstrip(_LOCAL)), len(end.rstrip(".-"))
        if start < at:
            yield begin + start, begin + stop, "email"


def _joined(spans: list[_Span]) -> list[_Span]:
    """Return the spans in order; overlapping ones become one, of the kind that begins it."""
    joined: list[_Span] = []
    for start, end, kind in sorted(spans):
        if joined and start < joined[-1][1]:
            first = joined[-1]
            joined[-1] = (first[0], max(end, first[1]), first[2])
        else:
            joined.append((start, end, kind))
    return joined


def _token(kind: str, value: str, key: bytes) -> str:
    digest = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), key=key, digest_size=2)
    return f"<{kind}:{digest.hexdigest()}>"
