# ruff: noqa: E501  (a row of a table stays on its line)
"""Texts with and without personal data and secrets, for measuring what `Scanner` finds.

All of it is made here, from parts and by a seed, so that nothing in the repository looks like
somebody's. Numbers are of ranges that nobody has (drama numbers, test cards) or of random digits
with the right check digit. Whoever wrote the rules wrote this too: it shows that they do what
they promise. How often they are wrong on text that others wrote, `tests.pii_report` counts.
"""

from __future__ import annotations

import base64
import json
import random
import string
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import msgspec

from busted.classifier.pii_checks import luhn

LETTERS, DIGITS, UPPER = string.ascii_letters + string.digits, string.digits, string.ascii_uppercase
HEX = "0123456789abcdef"
URL_SAFE = LETTERS + "_-"
BASE64 = LETTERS + "+/"


class Positive(msgspec.Struct, frozen=True):
    """A text, and the one thing to be found in it, as it stands there."""

    kind: str
    text: str
    value: str


class Negative(msgspec.Struct, frozen=True):
    """A text in which nothing is to be found, and what it is."""

    family: str
    text: str


def _some(choose: random.Random, alphabet: str, length: int) -> str:
    return "".join(choose.choices(alphabet, k=length))


def _card(choose: random.Random) -> str:
    start, length = choose.choice(
        [("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16)]
    )
    body = start + _some(choose, DIGITS, length - len(start) - 1)
    number = next(body + digit for digit in DIGITS if luhn(body + digit))
    separator = choose.choice(["", " ", "-"])
    groups = (4, 6, 5) if length == 15 else (4, 4, 4, 4)
    pieces, place = [], 0
    for group in groups:
        pieces.append(number[place : place + group])
        place += group
    return separator.join(pieces)


def _iban(choose: random.Random) -> str:
    country, length = choose.choice(
        [("DE", 22), ("FR", 27), ("GB", 22), ("NL", 18), ("ES", 24), ("IT", 27), ("CH", 21)]
    )
    size = length - 4
    account = {
        "GB": _some(choose, UPPER, 4) + _some(choose, DIGITS, 14),
        "NL": _some(choose, UPPER, 4) + _some(choose, DIGITS, 10),
        "IT": _some(choose, UPPER, 1) + _some(choose, DIGITS, 22),
    }.get(country, _some(choose, DIGITS, size))
    number = int("".join(str(int(c, 36)) for c in account + country + "00"))
    iban = f"{country}{98 - number % 97:02d}{account}"
    if choose.random() < 0.5:
        return iban
    return " ".join(iban[i : i + 4] for i in range(0, length, 4))


def _ssn(choose: random.Random) -> str:
    area = choose.choice([n for n in range(100, 899) if n != 666])
    return f"{area}-{choose.randint(10, 99)}-{choose.randint(1000, 9999)}"


def _phone(choose: random.Random) -> str:
    last = f"{choose.randint(100, 199):03d}"
    return choose.choice(
        [
            f"+1 202 555 0{last}",
            f"+1-415-555-0{last}",
            f"+1212555{choose.randint(100, 199):04d}",
            f"(206) 555-0{last}",
            f"312-555-0{last}",
            f"+44 20 7946 0{choose.randint(0, 999):03d}",
            f"+4420794601{choose.randint(10, 99)}",
            f"+49 30 23125 {choose.randint(100, 999)}",
            f"+33 1 99 00 {choose.randint(10, 99)} {choose.randint(10, 99)}",
            f"+61 3 5550 {choose.randint(1000, 9999)}",
        ]
    )


def _email(choose: random.Random) -> str:
    name = _some(choose, string.ascii_lowercase, choose.randint(3, 9))
    tag = choose.choice(["", ".b", "+news", "_1", "-x"])
    domain = choose.choice(["example.com", "mail.example.co.uk", "example.org", "a-b.example.io"])
    return f"{name}{tag}@{domain}"


def _jwt(choose: random.Random) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    head = part({"alg": "HS256", "typ": "JWT"})
    body = part({"sub": _some(choose, DIGITS, 10), "iat": choose.randint(10**9, 2 * 10**9)})
    return f"{head}.{body}.{_some(choose, URL_SAFE, 43)}"


def _pem(choose: random.Random) -> str:
    name = choose.choice(["", "RSA ", "EC ", "OPENSSH "])
    lines = [_some(choose, BASE64, 64) for _ in range(choose.randint(3, 8))]
    return "\n".join(
        [f"-----BEGIN {name}PRIVATE KEY-----", *lines, f"-----END {name}PRIVATE KEY-----"]
    )


def _password(choose: random.Random) -> str:
    return (
        _some(choose, string.ascii_letters, 6) + _some(choose, DIGITS, 3) + choose.choice("!#%+_")
    )


Make = Callable[[random.Random], str]


def _key(prefix: str, alphabet: str, length: int) -> Make:
    return lambda choose: prefix + _some(choose, alphabet, length)


# Kind: how a value is made, and in which texts it is found besides those that hold anything.
_KINDS: dict[str, Make] = {
    "email": _email,
    "credit_card": _card,
    "iban": _iban,
    "us_ssn": _ssn,
    "phone": _phone,
    "aws_access_key_id": _key("AKI" + "A", UPPER + "234567", 16),
    "google_api_key": _key("AI" + "za", URL_SAFE, 34 + 1),
    "google_oauth_token": _key("ya2" + "9.", URL_SAFE, 60),
    "gcp_oauth_secret": _key("GOC" + "SPX-", LETTERS, 28),
    "github_token": lambda choose: (
        "gh" + choose.choice("pousr") + "_" + _some(choose, LETTERS, 36)
        if choose.random() < 0.6
        else "github" + "_pat_" + _some(choose, LETTERS, 22) + "_" + _some(choose, LETTERS, 59)
    ),
    "gitlab_token": _key("gl" + "pat-", LETTERS, 20),
    "openai_key": lambda choose: (
        "sk" + choose.choice(["-proj-", "-svcacct-", "-admin-"]) + _some(choose, LETTERS, 48)
        if choose.random() < 0.6
        else "sk" + "-" + _some(choose, LETTERS, 48)
    ),
    "anthropic_key": _key("sk" + "-ant-api03-", LETTERS, 93),
    "huggingface_token": _key("h" + "f_", LETTERS, 34),
    "slack_token": lambda choose: (
        f"xox{choose.choice('bp')}-{_some(choose, DIGITS, 12)}-{_some(choose, LETTERS, 24)}"
    ),
    "stripe_key": lambda choose: f"sk_{choose.choice(['live', 'test'])}_{_some(choose, LETTERS, 24)}",
    "npm_token": _key("np" + "m_", LETTERS, 36),
    "pypi_token": _key("py" + "pi-AgEIcHlwaS5vcmc", LETTERS, 80),
    "sendgrid_key": lambda choose: f"SG.{_some(choose, LETTERS, 22)}.{_some(choose, LETTERS, 43)}",
    "groq_key": _key("gs" + "k_", LETTERS, 52),
    "azure_client_secret": lambda choose: f"{_some(choose, LETTERS, 3)}8Q~{_some(choose, LETTERS, 34)}",
    "jwt": _jwt,
    "private_key": _pem,
}  # fmt: skip

# Kind: how a value is made, and the texts without which it is nothing.
_IN_CONTEXT: dict[str, tuple[Make, tuple[str, ...]]] = {
    "aws_secret_key": (
        _key("", BASE64, 40),
        ("aws_secret_access_key = {}", '{{"SecretAccessKey": "{}"}}', "AWS_SECRET_ACCESS_KEY={}"),
    ),
    "gcp_service_account": (
        _key("", HEX, 40),
        ('{{"type": "service_account", "private_key_id": "{}"}}',),
    ),
    "azure_storage_key": (
        lambda choose: _some(choose, BASE64, 86) + "==",
        (
            "DefaultEndpointsProtocol=https;AccountName=x;AccountKey={};EndpointSuffix=core",
            "account_key: {}",
        ),
    ),
    "url_credentials": (
        lambda choose: "app:" + _password(choose).rstrip("#%"),
        ("postgres://{}@db.example.com/main", "https://{}@git.example.com/a.git", "redis://{}@h:1"),
    ),
    "connection_string": (
        lambda choose: _some(choose, LETTERS, 14),
        ("Server=db;Database=main;User Id=sa;Password={};", "Driver=x;Uid=sa;Pwd={};"),
    ),
    "bearer_token": (_key("", LETTERS, 40), ("Bearer {}", "it says: bearer {} there")),
    "authorization": (
        _key("", LETTERS, 32),
        ("Authorization: Basic {}", '{{"authorization": "Token {}"}}', "-H 'Authorization: {}'"),
    ),
    "password": (
        _password,
        ("password={}", 'password: "{}"', "DB_PASSWORD='{}'", '{{"password": "{}"}}', "passwd: {}"),
    ),
    "generic_secret": (
        _key("", LETTERS, 32),
        ("API_KEY={}", 'secret: "{}"', "client_secret = '{}'", '{{"access_token": "{}"}}', "token: {}"),
    ),
}  # fmt: skip

_ANYWHERE = (
    "{}",
    "Please use {}, it is mine.",
    '{{"value": "{}", "n": 1}}',
    "- item: {}\n- other: 2\n",
    "export VALUE='{}'",
    "Grüße, 键 {} 值",
    "<td>{}</td>",
    "x = f({!r})",
)


def positives() -> Iterator[Positive]:
    """Yield some dozen texts of each kind, the same ones whenever it is called."""
    choose = random.Random(6)
    for kind, make in _KINDS.items():
        for form in _ANYWHERE:
            value = make(choose)
            text = form.format(value)
            # `repr` spells line breaks as escapes, which belong to a key of several lines.
            yield Positive(kind, text, value if value in text else repr(value)[1:-1])
        if kind == "private_key":
            continue
        value = make(choose)
        yield Positive(kind, json.dumps({"a": f"é\n{value}\n"}), value)
        encoded = base64.b64encode(f"here it is: {value} .".encode()).decode()
        yield Positive(kind, f"data:text/plain;base64,{encoded}", "")
        if kind in ("email", "phone"):
            yield Positive(kind, f"/find?q={urllib.parse.quote(value, safe='')}&n=1", "")
    for kind, (make, forms) in _IN_CONTEXT.items():
        for form in forms * 3:
            value = make(choose)
            yield Positive(kind, form.format(value), value)


def _hex_table(choose: random.Random) -> str:
    return "\n".join(
        f"{row:04x}  " + " ".join(_some(choose, HEX, 4).upper() for _ in range(8))
        for row in range(4)
    )


# Family: how a text of it is made.
_NEGATIVES: dict[str, Make] = {
    "uuid": lambda c: f'"request_id": "{uuid.UUID(int=c.getrandbits(128), version=4)}"',
    "commit": lambda c: f"commit {_some(c, HEX, 40)}\nAuthor: someone",
    "short commit": lambda c: f"fixed in {_some(c, HEX, 7)} and {_some(c, HEX, 10)}",
    "sha256": lambda c: f"sha256:{_some(c, HEX, 64)}",
    "integrity": lambda c: f'"integrity": "sha512-{_some(c, BASE64, 86)}=="',
    "time": lambda c: datetime.fromtimestamp(c.randint(10**9, 2 * 10**9), UTC).isoformat(),
    "log line": lambda c: (
        f"{datetime.fromtimestamp(c.randint(10**9, 2 * 10**9), UTC):%Y-%m-%d %H:%M:%S,123} INFO "
        f"worker-{c.randint(1, 99)} done in {c.random():.12f} s"
    ),
    "epoch": lambda c: f"ts={c.randint(10**12, 2 * 10**12)} ns={c.randint(10**18, 2 * 10**18)}",
    "version": lambda c: f"pkg=={c.randint(0, 99)}.{c.randint(0, 99)}.{c.randint(0, 9999)}-rc{c.randint(1, 9)}",
    "hex table": _hex_table,
    "base64": lambda c: f"data:image/png;base64,{base64.b64encode(c.randbytes(240)).decode()}",
    "order": lambda c: f"Order {_some(c, DIGITS, 3)}-{_some(c, DIGITS, 7)}-{_some(c, DIGITS, 7)} shipped",
    "order number": lambda c: f"order no. {c.randint(10**9, 10**10)}, invoice INV-{c.randint(10**5, 10**6)}",
    "clause": lambda c: f"see DFARS 252.{c.randint(200, 252)}-{c.randint(7000, 7999)} and FAR 52.212-4",
    "path": lambda c: f"/usr/lib/python3.11/site-packages/{_some(c, string.ascii_lowercase, 12)}/__init__.py",
    "float": lambda c: f"loss={c.random()} acc={c.random():.16f} lr={c.random() / 1e5}",
    "coordinates": lambda c: f"{c.uniform(-90, 90):.7f},{c.uniform(-180, 180):.7f}",
    "mac": lambda c: "link/ether " + ":".join(_some(c, HEX, 2) for _ in range(6)),
    "own header": lambda c: c.choice(
        [
            "Authorization: Bearer $OPENAI_API_KEY",
            'headers = {"Authorization": f"Bearer {token}"}',
            "x-api-key: <your key>",
            'curl -H "Authorization: Bearer ${TOKEN}" https://api.example.com',
            "authorization: Bearer <redacted>",
        ]
    ),
    "placeholder": lambda c: c.choice(
        [
            "password=changeme",
            'api_key = "YOUR_API_KEY"',
            "OPENAI_API_KEY=sk-...",
            "token: ${{ secrets.GITHUB_TOKEN }}",
            'secret = os.environ["SECRET"]',
            "postgres://user:password@localhost/db",
            "AKI" + "AIOSFODNN7EXAMPLE",
            "password: '********'",
            "api_key=get_api_key(settings)",
        ]
    ),
    "code": lambda c: c.choice(
        [
            "token = self.tokens[index + 1]",
            "def password_hash(password: str, rounds: int = 12) -> str:",
            "if token.type == tokenize.NAME and token.string == 'async':",
            "@app.route('/users/<int:id>')",
            "secret_key = config.get('secret_key')",
            "max_tokens=4096, temperature=0.7",
            '"completion_tokens": 1234, "prompt_tokens": 98765432',
            "key=lambda item: item[1]",
            "password = getpass.getpass()",
            "const accessKey = process.env.ACCESS_KEY",
        ]
    ),
    "model": lambda c: c.choice(["gpt-4o-2024-08-06", "claude-sonnet-4-5-20250929", "text-embedding-3-large"]),
    "tool call": lambda c: f'{{"id": "call_{_some(c, LETTERS, 24)}", "type": "function"}}',
    "message": lambda c: f'{{"id": "msg_01{_some(c, LETTERS, 22)}", "type": "message"}}',
    "completion": lambda c: f'"id": "chatcmpl-{_some(c, LETTERS, 29)}"',
    "page": lambda c: f'"next_page_token": "{_some(c, LETTERS, 40)}"',
    "ssh public key": lambda c: f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{_some(c, BASE64, 43)} host",
    "certificate": lambda c: f"-----BEGIN CERTIFICATE-----\n{_some(c, BASE64, 64)}\n-----END CERTIFICATE-----",
    "wrong card": lambda c: "4" + _some(c, DIGITS, 14) + "x",
    "digits": lambda c: _some(c, DIGITS, 40),
    "table": lambda c: "\t".join(str(c.randint(0, 10**6)) for _ in range(10)),
    "isbn": lambda c: f"ISBN 978-{c.randint(0, 9)}-{_some(c, DIGITS, 4)}-{_some(c, DIGITS, 4)}-{c.randint(0, 9)}",
    "phone-like": lambda c: c.choice(
        [
            f"part {_some(c, DIGITS, 4)}-{_some(c, DIGITS, 4)}-{_some(c, DIGITS, 2)}",
            f"rev. 1{_some(c, DIGITS, 2)}-{_some(c, DIGITS, 3)}-{_some(c, DIGITS, 4)}",
            f"RFC {c.randint(1000, 9999)} section {c.randint(1, 9)}.{c.randint(1, 9)}",
        ]
    ),
    "css": lambda c: f"color: #{_some(c, HEX, 6)}; width: {c.randint(1, 999)}.{c.randint(1, 99)}px",
    "image": lambda c: f"icon{c.randint(1, 99)}@{c.choice('234')}x.png",
    "address": lambda c: f"10.{c.randint(0, 255)}.{c.randint(0, 255)}.1:{c.randint(1, 65535)}",
    "url": lambda c: f"https://example.com/a%20b/{_some(c, LETTERS, 11)}?v={_some(c, DIGITS, 9)}#L10",
    "arn": lambda c: f"arn:aws:iam::{_some(c, DIGITS, 12)}:role/service-role/{_some(c, LETTERS, 8)}",
    "cache key": lambda c: f"cache-key: linux-x64-node-{_some(c, HEX, 64)}",
    "minified": lambda c: f"!function(e,t){{var n=e[{c.randint(0, 99)}];t.token=n.token}}(a,b)",
}  # fmt: skip

EACH = 27


def negatives() -> Iterator[Negative]:
    """Yield `EACH` texts of each family, the same ones whenever it is called."""
    choose = random.Random(7)
    for family, make in _NEGATIVES.items():
        for _ in range(EACH):
            yield Negative(family, make(choose))
