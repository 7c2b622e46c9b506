"""What counts as personal data or a secret: a table with a row for each way to begin.

A row is found in two stages. `begins` is for hyperscan, which looks for all rows at once and
says only where a match ends; `start` says from there where to read on: so many bytes back, or at
the last place of a text before it, and `back` which bytes before that belong to it. Then
`pattern` reads the whole, and `check` judges it. Every repeat of a pattern is bounded or cannot
overlap what follows it, so no text takes more than linear time. All works on UTF-8, in which a
byte below 128 is nothing but that character.

Prefixes of keys are those that their makers document; what stands before one must be no part of
the same word, so that `task-...` is no key that begins with `sk-`.

Left out: names and addresses of people, which no pattern can tell from other words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import msgspec

from busted.classifier import pii_checks as checks

Category = Literal["personal", "secret", "national_id", "network", "custom", "canary"]
Pack = Literal["national_id", "network"]
Check = Callable[[bytes], bool]

# Kinds are parts of tokens and of metrics' labels.
Kind = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which a kind of personal data or secret begins, and how it goes on.

    Where hyperscan is slow to search for `begins` beside all the others, `gate` is something
    simpler that matches whenever it does, and only then it is searched for.

    `confidence` is how much of what the rule finds is what it says, from 0 to 1. With a
    `context` it counts only if one of these words stands in the `CONTEXT_BYTES` before it, with
    `without` only if none of those does. A masked sample shows the first and last characters, as
    many as `shown` says. Group `value` of the pattern, where there is one, is what is found. A
    check that `is_costly` is made a few times in a text; then the pattern decides. What `is_long`
    has lines, and what `is_whole` is found by `begins` alone.
    """

    kind: Kind
    category: Category
    begins: bytes
    gate: bytes = b""
    start: int | bytes
    back: bytes = b""
    pattern: re.Pattern[bytes]
    check: Check | None = None
    confidence: float = 0.95
    context: re.Pattern[bytes] | None = None
    without: re.Pattern[bytes] | None = None
    shown: tuple[int, int] = (0, 0)
    is_costly: bool = False
    is_long: bool = False
    is_whole: bool = False


class CustomRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind that an operator adds: all that `pattern` matches, in hyperscan's syntax.

    https://intel.github.io/hyperscan/dev-reference/compilation.html#pattern-support
    """

    kind: Kind
    pattern: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    category: Literal["personal", "secret", "custom"] = "custom"
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.9
    context: tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=64)], ...] = ()
    check: Literal["luhn", "iban", "random"] | None = None


_IBAN_SHAPE = re.compile(rb"[A-Z]{2}[0-9]{2}[A-Z0-9 -]{11,40}")
# An operator's pattern may match anything, which these must bear.
CHECKS: dict[str, Check] = {
    "luhn": checks.has_luhn_digits,
    "iban": lambda value: _IBAN_SHAPE.fullmatch(value) is not None and checks.is_iban(value),
    "random": checks.is_random,
}


# Enough for "my social security number, if you really must know, is".
CONTEXT_BYTES = 64

# No character may stand before a key that could be part of the same word.
_ALONE = rb"(?<![A-Za-z0-9])"
_END = rb"(?![A-Za-z0-9])"
# The same for the first stage. In JSON a letter or digit before it may end an escape.
_ESCAPE = rb"\\(?:[bfnrt]|u[0-9a-fA-F]{4})"
_APART = rb"(?:^|[^A-Za-z0-9]|" + _ESCAPE + rb")"
# A number is alone where neither digits go on nor a point, dash or slash with digits.
_NO_DIGIT = rb"(?:^|[^0-9]|\\u[0-9a-fA-F]{4})"
_NUMBER = rb"(?<![A-Za-z0-9_.])(?<![0-9][-/,:])"
_NUMBER_END = rb"(?![A-Za-z0-9_]|[-./:,][0-9]|[-/=][A-Za-z])"


def _words(words: str) -> re.Pattern[bytes]:
    return re.compile(rf"(?i)(?<![a-z])(?:{words})".encode())


LOCAL = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-"
# RFC 5321 section 4.5.3.1: a local part has at most 64 octets. Labels: RFC 1035 section 2.3.4.
_EMAIL = (
    rb"[.%+-]*(?P<value>[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}(?<!\.)@"
    rb"(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-]))"
)

# Card numbers are written in one piece, or in the groups that are printed on the card. The
# first digit is any issuer's.
_CARD = (
    rb"(?<![\w.])[2-6]\d{3}(?:\d{9,15}"
    rb"|([ -])(?:\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{6}\1\d{4,5}))(?![\w]|\.\d)"
)
_IBAN = (
    _ALONE + rb"[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|([ -])(?:[A-Z0-9]{4}\1){2,7}[A-Z0-9]{1,4})" + _END
)
_SSN = _NUMBER + rb"\d{3}([- ])\d{2}\1\d{4}" + _NUMBER_END

_PHONE_E164 = rb"(?<![A-Za-z0-9+])\+[1-9](?:[ .()/-]{0,2}\d){6,14}" + _NUMBER_END
# The countries of the North American Numbering Plan: https://nationalnanpa.com/area_codes
_NANP_REGIONS = "AG AI AS BB BM BS CA DM DO GD GU JM KN KY LC MP MS PR SX TC TT US VC VG VI"
_NANP = frozenset(_NANP_REGIONS.split())
# Areas and exchanges begin with 2 to 9 (NANPA). Groups are set apart all in the same way.
_PHONE_NANP = _NUMBER + rb"[2-9]\d{2}([.-])[2-9]\d{2}\1\d{4}" + _NUMBER_END
_PHONE_PARENTHESES = rb"\([2-9]\d{2}\)[ -]?[2-9]\d{2}[ -]\d{4}" + _NUMBER_END
_PHONE_AFTER = rb"(?P<value>[+(]?\d[\d ()./-]{5,18}\d)" + _NUMBER_END
_PHONE_WORDS = (
    rb"(?i)(?:phone|mobile|tel|cell|fax|handy|telefon|rufnummer|call|dial|whatsapp|sms)[a-z]{0,8}"
    rb"[^0-9a-z+(\n]{1,4}(?:number|no|nr|me|us|at|is)?[^0-9a-z+(\n]{0,3}[0-9+(]"
)

# RFC 6750 section 2.1 gives the characters of a bearer token. Prose says "bearer" too, but what
# follows it there is a word: a token is long, or has a digit.
_BEARER = (
    _ALONE + rb"(?i:bearer)[ \t]{1,4}"
    rb"(?P<value>(?:(?=[A-Za-z._~+/-]{0,64}\d)[\w.~+/-]{16}|[\w.~+/-]{32})[\w.~+/-]{0,4096}+={0,2})"
)
# A scheme says that a secret follows; else it must look like one.
_SCHEME = (
    rb"""[ \t]{0,4}["']?(?i:bearer|basic|token|apikey)[ \t]{1,4}"""
    rb"(?P<value>[\w.~+/:-]{8,4096}+={0,2})"
)
_NO_SCHEME = rb"""[ \t]{0,4}["']?(?P<value>[\w.~+/:-]{16,4096}+={0,2})(?![(\[{])"""
# RFC 7468 section 2, and the headers of RFC 1421 and OpenPGP. In JSON and .env files line breaks
# are escapes, which read as blanks. An end that was cut off is none the less part of it.
_PEM = (
    rb"-----BEGIN (?:[A-Z]{2,9} ){0,2}PRIVATE KEY(?: BLOCK)?-----"
    rb"\s{0,8}(?:(?:Proc-Type|DEK-Info|Version|Comment): ?[\w .,:()/+-]{1,80}\s{1,8}){0,3}"
    rb"[A-Za-z0-9+/]{24}[A-Za-z0-9+/=\s]*+"
    rb"(?:-----END (?:[A-Z]{2,9} ){0,2}PRIVATE KEY(?: BLOCK)?-----)?"
)
_JWT = rb"(?<![\w.-])eyJ[\w-]{8,4096}+\.eyJ[\w-]{8,16384}+\.[\w-]{16,2048}+"
_URL = rb"://(?P<value>[^\s/@:\"'<>\\`]{0,128}:[!#$%&()*+,.0-9;=?A-Z\[\]^_a-z{|}~-]{1,256})@[A-Za-z0-9\[]"
_PASSWORD_PART = rb"""[ \t]{0,2}["']?(?P<value>[^\s;"'<>\\{}$%*]{3,128})"""
# Between a secret's name and the secret: `"name": "`, `name = '`, `name=`, `name: `.
_ASSIGNED = rb"""[>=]?[ \t]{0,4}["'`]?(?P<value>%s)(?![(\[{])"""
_KEY_VALUE = rb"[A-Za-z0-9_~+/.=-]{16,256}+"
_PASSWORD_VALUE = rb"[!#$%&*+./0-9:=?@A-Z^_a-z~-]{8,64}+"
_NAME_END = rb"""(?:\\{0,4}["'\]]{1,2})?[ \t]{0,4}[:=]"""


def _key(
    kind: str,
    begins: bytes,
    rest: bytes,
    *,
    start: int | bytes | None = None,
    shown: int | None = None,
) -> Rule:
    """Return the rule of keys that their maker gave a fixed beginning.

    `start` is how long that is, where `begins` does not say. A sample shows it, or as many bytes
    of it as `shown` says.
    """
    start = len(begins) if start is None else start
    size = start if isinstance(start, int) else len(start)
    return Rule(
        kind=kind,
        category="secret",
        begins=begins,
        start=start,
        pattern=re.compile(_ALONE + begins + rest),
        check=checks.is_key,
        confidence=0.99,
        shown=(size if shown is None else shown, 0),
    )


_SECRETS = (
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
    _key("aws_access_key_id", rb"A[KS]IA", rb"[A-Z0-9]{16}" + _END, start=4),
    Rule(
        kind="aws_secret_key",
        category="secret",
        begins=rb"(?i)aws_?secret_?(?:access_?)?key" + _NAME_END,
        start=0,
        pattern=re.compile(_ASSIGNED % rb"[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=])"),
        check=checks.is_random,
        confidence=0.98,
    ),
    Rule(
        kind="aws_secret_key",
        category="secret",
        begins=rb"(?i)secretaccesskey" + _NAME_END,
        start=0,
        pattern=re.compile(_ASSIGNED % rb"[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=])"),
        check=checks.is_random,
        confidence=0.98,
    ),
    # Files that `gcloud iam service-accounts keys create` writes.
    Rule(
        kind="gcp_service_account",
        category="secret",
        begins=rb'private_key_id\\{0,4}"\s{0,4}:',
        start=0,
        pattern=re.compile(rb"[ \t]{0,4}\"?[ \t]{0,2}(?P<value>[0-9a-f]{40})" + _END),
        check=checks.is_key,
        confidence=0.98,
    ),
    _key("gcp_oauth_secret", rb"GOCSPX-", rb"[\w-]{28}"),
    _key("google_api_key", rb"AIza", rb"[\w-]{35}(?![\w-])"),
    _key("google_oauth_token", rb"ya29\.", rb"[\w-]{20,}", start=5),
    # Storage accounts; the key has 64 bytes.
    Rule(
        kind="azure_storage_key",
        category="secret",
        begins=rb"(?i)(?:account|shared|access)_?key" + _NAME_END,
        start=0,
        pattern=re.compile(_ASSIGNED % rb"[A-Za-z0-9+/]{86}=="),
        check=checks.is_random,
        confidence=0.99,
    ),
    Rule(
        kind="azure_sas",
        category="secret",
        begins=rb"[?&;]sig=",
        start=0,
        pattern=re.compile(rb"(?P<value>[A-Za-z0-9%+/]{43,64}(?:%3[dD]|=))"),
        confidence=0.95,
    ),
    # Client secrets of Entra ID: https://learn.microsoft.com/purview/sit-defn-azure-ad-client-secret
    Rule(
        kind="azure_client_secret",
        category="secret",
        begins=rb"[\w~.-]{3}[78]Q~[\w~.-]{31}",
        start=37,
        pattern=re.compile(rb"(?<![\w~.-])[\w~.-]{3}[78]Q~[\w~.-]{31,34}(?![\w~.-])"),
        check=checks.is_random,
        is_costly=True,
        confidence=0.97,
    ),
    # https://github.blog/engineering/behind-githubs-new-authentication-token-formats/
    _key("github_token", rb"gh[pousr]_", rb"[A-Za-z0-9]{36,}", start=4),
    _key("github_token", rb"github_pat_", rb"\w{22,}"),
    # https://docs.gitlab.com/security/tokens/#token-prefixes
    _key(
        "gitlab_token",
        rb"gl(?:pat|dt|rt|cbt|ptt|ft|agent|soat|imt|oas)-",
        rb"[\w-]{20,}",
        start=b"gl",
    ),
    _key("anthropic_key", rb"sk-ant-", rb"(?:[a-z]{3,8}\d{2}-)?[\w-]{16,}"),
    # OpenAI's new ones; OpenRouter and Langfuse begin alike.
    _key(
        "openai_key",
        rb"sk-(?:proj|svcacct|admin|or|lf)-",
        rb"[\w-]{16,}",
        start=b"sk-",
    ),
    # OpenAI's old ones, and those of who speaks its dialect, DeepSeek for one.
    _key("openai_key", rb"sk-[A-Za-z0-9]{20}", rb"[A-Za-z0-9]*", start=23, shown=3),
    _key("huggingface_token", rb"hf_", rb"[A-Za-z0-9]{30,}"),
    # https://docs.slack.dev/authentication/tokens
    _key("slack_token", rb"xox[abeoprs]-", rb"[A-Za-z0-9-]{10,}", start=5),
    _key("slack_token", rb"xapp-", rb"\d-[A-Za-z0-9-]{20,}"),
    Rule(
        kind="slack_webhook",
        category="secret",
        begins=rb"hooks\.slack\.com/",
        start=16,
        pattern=re.compile(
            rb"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<value>[A-Z]\w{7,}/\w{8,}/\w{16,})"
        ),
        check=checks.is_key,
        confidence=0.98,
    ),
    # https://docs.stripe.com/keys
    _key("stripe_key", rb"[rs]k_(?:live|test)_", rb"[A-Za-z0-9]{16,}", start=8),
    _key("stripe_key", rb"whsec_", rb"[A-Za-z0-9+/]{24,}"),
    _key("npm_token", rb"npm_", rb"[A-Za-z0-9]{36}" + _END),
    # A macaroon that begins with the name of the index: https://pypi.org/help/#apitoken
    _key("pypi_token", rb"pypi-AgE", rb"[\w-]{40,}"),
    _key("sendgrid_key", rb"SG\.", rb"[\w-]{22}\.[\w-]{43}", start=3),
    _key("groq_key", rb"gsk_", rb"[A-Za-z0-9]{40,}"),
    _key("xai_key", rb"xai-", rb"[A-Za-z0-9]{60,}"),
    _key("perplexity_key", rb"pplx-", rb"[A-Za-z0-9]{32,}"),
    _key("replicate_token", rb"r8_", rb"[A-Za-z0-9]{37}" + _END),
    Rule(
        kind="jwt",
        category="secret",
        begins=rb"eyJ[\w-]{8}",
        start=11,
        pattern=re.compile(_JWT),
        check=checks.is_jwt,
        confidence=0.98,
    ),
    Rule(
        kind="private_key",
        category="secret",
        begins=rb"PRIVATE KEY(?: BLOCK)?-----",
        start=b"-----BEGIN ",
        pattern=re.compile(_PEM),
        confidence=0.99,
        is_long=True,
    ),
    Rule(
        kind="url_credentials",
        category="secret",
        begins=rb"://[^\s/@:\"'<>\\`]{0,128}:[^\s/@\"'<>\\`]+@",
        start=b"://",
        pattern=re.compile(_URL),
        check=checks.is_url_secret,
        confidence=0.95,
        is_costly=True,
    ),
    # ADO.NET, ODBC and JDBC: `Server=...;User Id=...;Password=...`.
    Rule(
        kind="connection_string",
        category="secret",
        begins=rb"(?i);[ \t]?(?:password|pwd)[ \t]{0,2}=",
        start=0,
        pattern=re.compile(_PASSWORD_PART),
        check=checks.is_no_sample,
        is_costly=True,
    ),
    Rule(
        kind="bearer_token",
        category="secret",
        begins=rb"(?i)bearer[ \t]",
        start=7,
        pattern=re.compile(_BEARER),
        check=checks.is_no_sample,
        confidence=0.9,
        is_costly=True,
    ),
    *(
        Rule(
            kind="authorization",
            category="secret",
            begins=rb"(?i)authorization" + _NAME_END,
            start=0,
            pattern=re.compile(pattern),
            check=check,
            confidence=0.9,
        )
        for pattern, check in (
            (_SCHEME, checks.is_no_word),
            (_NO_SCHEME, checks.is_assigned_secret),
        )
    ),
    Rule(
        kind="password",
        category="secret",
        begins=rb"(?i)(?:passw(?:or)?d|passphrase|passwort|pwd)" + _NAME_END,
        start=0,
        pattern=re.compile(_ASSIGNED % _PASSWORD_VALUE),
        check=checks.is_assigned_password,
        confidence=0.8,
        is_costly=True,
    ),
    Rule(
        kind="generic_secret",
        category="secret",
        begins=rb"(?i)(?:secret|token|api[_-]?key|access[_-]?key|auth[_-]?key|private[_-]?key)"
        + _NAME_END,
        start=0,
        pattern=re.compile(_ASSIGNED % _KEY_VALUE),
        check=checks.is_assigned_secret,
        confidence=0.75,
        # Where a list goes on, or which version of a thing is meant, is nobody's secret.
        without=re.compile(
            rb"(?i)(?:next|forward|backward|continuation|change|lock|page|paging|pagination|sync"
            rb"|marker|starting|scroll|resume|idempotency|client|request|cancellation)"
            rb"""[_-]?token["'\s:=\\]{0,12}\Z"""
        ),
        is_costly=True,
    ),
)

_PERSONAL = (
    Rule(
        kind="email",
        category="personal",
        gate=rb"[A-Za-z0-9_%+-]@[A-Za-z0-9]",
        begins=rb"[A-Za-z0-9_%+-]@[A-Za-z0-9.-]*[A-Za-z0-9]\.[A-Za-z]{2}",
        start=b"@",
        back=LOCAL,
        pattern=re.compile(_EMAIL),
        check=checks.is_email,
        shown=(1, 0),
    ),
    *(
        Rule(
            kind="credit_card",
            category="personal",
            gate=gate,
            begins=_NO_DIGIT + begins if gate else begins,
            start=size,
            pattern=re.compile(_CARD),
            check=checks.is_card,
            confidence=0.97,
            shown=(0, 4),
        )
        for gate, begins, size in (
            (rb"[2-6]\d{12}", rb"[2-6]\d{12}", 13),
            (b"", rb"[2-6]\d{3}[ -]\d{4}[ -]\d{4}", 14),
            (b"", rb"[2-6]\d{3}[ -]\d{6}[ -]\d{4}", 16),
        )
    ),
    *(
        Rule(
            kind="iban",
            category="personal",
            gate=begins,
            begins=_APART + begins,
            start=size,
            pattern=re.compile(_IBAN),
            check=checks.is_iban,
            confidence=0.99,
            shown=(2, 4),
        )
        for begins, size in (
            (rb"[A-Z]{2}\d{2}[A-Z0-9]{11}", 15),
            (rb"[A-Z]{2}\d{2}[ -][A-Z0-9]{4}[ -][A-Z0-9]{4}", 14),
        )
    ),
    Rule(
        kind="us_ssn",
        category="personal",
        begins=rb"\d{3}-\d{2}-\d{4}",
        start=11,
        pattern=re.compile(_SSN),
        check=checks.is_ssn,
        confidence=0.9,
    ),
    Rule(
        kind="us_ssn",
        category="personal",
        begins=rb"(?i)(?:ssn|social security (?:number|no\.?))[^0-9a-z]{1,4}(?:is:? |number:? )?\d",
        start=1,
        pattern=re.compile(rb"(?P<value>\d{3}( ?)\d{2}\2\d{4})" + _NUMBER_END),
        check=checks.is_ssn,
        confidence=0.9,
    ),
)


def _phones(region: str) -> tuple[Rule, ...]:
    """Return the rules of telephone numbers; `region` says whose national forms count."""
    can_be_dialled = partial(checks.is_phone, region=region)

    def rule(
        begins: bytes, start: int | bytes, pattern: bytes, confidence: float, check: Check
    ) -> Rule:
        return Rule(
            kind="phone",
            category="personal",
            begins=begins,
            start=start,
            pattern=re.compile(pattern),
            check=check,
            confidence=confidence,
            is_costly=True,
            shown=(0, 2),
        )

    rules = [
        rule(rb"\+[1-9][0-9 ().-]{7}", 9, _PHONE_E164, 0.97, can_be_dialled),
        rule(
            _PHONE_WORDS,
            1,
            _PHONE_AFTER,
            0.9,
            can_be_dialled,
        ),
    ]
    if region in _NANP:
        rules += [
            rule(rb"[2-9]\d{2}-[2-9]\d{2}-\d{4}", 12, _PHONE_NANP, 0.9, can_be_dialled),
            rule(
                _NO_DIGIT + rb"[2-9]\d{2}\.[2-9]\d{2}\.\d{4}", 12, _PHONE_NANP, 0.8, can_be_dialled
            ),
            rule(
                rb"\([2-9]\d{2}\)[ -]?[2-9]\d{2}[ -]\d{4}",
                b"(",
                _PHONE_PARENTHESES,
                0.95,
                can_be_dialled,
            ),
        ]
    return tuple(rules)


def _national(
    kind: str, begins: bytes, size: int, pattern: bytes, check: Check | None, words: str = ""
) -> Rule:
    return Rule(
        kind=kind,
        category="national_id",
        begins=begins,
        start=size,
        pattern=re.compile(pattern),
        check=check,
        confidence=0.9,
        context=_words(words) if words else None,
    )


_PACKS: dict[Pack, tuple[Rule, ...]] = {
    "national_id": (
        # https://www.gov.uk/hmrc-internal-manuals/national-insurance-manual/nim39110
        *(
            _national(
                "uk_nino",
                _APART + begins,
                size,
                _ALONE + rb"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-Z]{2}( ?)\d{2}\1\d{2}\1\d{2}\1[A-D]" + _END,
                None,
            )
            for begins, size in (
                (rb"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]", 9),
                (rb"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] \d{2} \d{2} \d{2} [A-D]", 13),
            )
        ),
        *(
            _national(
                "es_dni",
                _APART + begins,
                size,
                _ALONE + rb"[0-9XYZ]\d{7}-?[A-Z]" + _END,
                checks.is_spanish_id,
            )
            for begins, size in ((rb"[0-9XYZ]\d{7}[A-Z]", 9), (rb"[0-9XYZ]\d{7}-[A-Z]", 10))
        ),
        _national(
            "it_codice_fiscale",
            _APART + rb"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]",
            16,
            _ALONE + rb"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]" + _END,
            checks.is_italian_id,
        ),
        *(
            _national(
                "fr_nir",
                _NO_DIGIT + begins,
                size,
                _NUMBER + pattern + _NUMBER_END,
                checks.is_french_id,
            )
            for begins, size, pattern in (
                (
                    rb"[12]\d{4}(?:\d{2}|2[AB])\d{8}",
                    15,
                    rb"[12]\d{2}(?:0[1-9]|1[0-2]|[2-9]\d)(?:\d{2}|2[AB])\d{8}",
                ),
                (
                    rb"[12] \d{2} \d{2} (?:\d{2}|2[AB]) \d{3} \d{3} \d{2}",
                    21,
                    rb"[12] \d{2} \d{2} (?:\d{2}|2[AB]) \d{3} \d{3} \d{2}",
                ),
            )
        ),
        _national(
            "de_tax_id",
            _NO_DIGIT + rb"[1-9]\d{10}",
            11,
            _NUMBER + rb"[1-9]\d{10}" + _NUMBER_END,
            checks.is_german_tax_id,
            r"steuer|idnr|tax.?id",
        ),
        _national(
            "br_cpf",
            _NO_DIGIT + rb"\d{3}\.\d{3}\.\d{3}-\d{2}",
            14,
            _NUMBER + rb"\d{3}\.\d{3}\.\d{3}-\d{2}" + _NUMBER_END,
            checks.is_cpf,
        ),
        _national(
            "nl_bsn",
            _NO_DIGIT + rb"\d{9}",
            9,
            _NUMBER + rb"\d{9}" + _NUMBER_END,
            checks.is_bsn,
            r"bsn|burgerservice|sofi",
        ),
        _national(
            "in_aadhaar",
            _NO_DIGIT + rb"[2-9]\d{3} \d{4} \d{4}",
            14,
            _NUMBER + rb"[2-9]\d{3} \d{4} \d{4}" + _NUMBER_END,
            checks.is_aadhaar,
        ),
        _national(
            "ca_sin",
            _NO_DIGIT + rb"\d{3}[- ]\d{3}[- ]\d{3}",
            11,
            _NUMBER + rb"\d{3}([- ])\d{3}\1\d{3}" + _NUMBER_END,
            checks.is_sin,
            r"sin|social insurance|assurance sociale|nas",
        ),
        _national(
            "passport",
            rb"(?i)(?:passport|reisepass|passeport|pasaporte)[a-z. ]{0,12}[:#]? ?[A-Z]{0,2}\d{6}",
            6,
            rb"(?<![0-9])\d{6,9}" + _END,
            None,
        ),
        # The second line of the part that machines read: ICAO Doc 9303 part 4.
        _national(
            "passport",
            rb"[A-Z0-9<]{9}\d[A-Z<]{3}\d{7}[MFX<]\d{7}[A-Z0-9<]{14}[0-9<]\d",
            44,
            rb"(?<![A-Z0-9<])[A-Z0-9<]{9}\d[A-Z<]{3}\d{7}[MFX<]\d{7}[A-Z0-9<]{14}[0-9<]\d",
            checks.is_passport_line,
        ),
    ),
    "network": (
        Rule(
            kind="ipv4",
            category="network",
            begins=rb"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
            start=0,
            back=b"0123456789.",
            pattern=re.compile(rb"(?<![\w.])(?P<value>\d{1,3}(?:\.\d{1,3}){3})(?![\w]|\.\d|-\d)"),
            check=checks.is_ipv4,
            confidence=0.8,
        ),
        Rule(
            kind="ipv6",
            category="network",
            begins=rb"[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{1,4}",
            start=0,
            back=b"0123456789abcdefABCDEF:",
            pattern=re.compile(rb"(?<![\w:.])(?P<value>[0-9A-Fa-f:]{6,39})(?![\w:]|\.\d)"),
            check=checks.is_ipv6,
            confidence=0.8,
        ),
    ),
}


def built_in(region: str, packs: frozenset[Pack] = frozenset()) -> tuple[Rule, ...]:
    """Return the rules that always hold, and those of the optional packs that were chosen.

    `region` is a country of ISO 3166-1, two capital letters; it says how telephone numbers are
    written that begin with no `+`.
    """
    optional = [rule for pack, rules in _PACKS.items() if pack in packs for rule in rules]
    return (*_SECRETS, *_PERSONAL, *_phones(region), *optional)
