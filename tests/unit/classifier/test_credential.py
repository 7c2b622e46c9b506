import pytest

from busted.classifier.connection import ConnectionReader
from busted.classifier.credential import credential
from busted.classifier.direction import Direction
from busted.classifier.options import DEFAULT_OPTIONS
from busted.events import Credential, Prompt
from tests.unit.classifier.wire import CHAT, request

KEY = b"k" * 16
SECRET = "sk-" + "a1B2c3D4e5" * 4


def told(name: str, value: str, target: str = "/", key: bytes = KEY) -> Credential | None:
    return credential({name: value}, target, key)


_TOLD = told("x-api-key", SECRET)
assert _TOLD is not None
HASH = _TOLD.hash


@pytest.mark.parametrize(
    ("name", "value", "scheme"),
    [
        ("authorization", f"Bearer {SECRET}", "bearer"),
        ("authorization", f"bearer  {SECRET} ", "bearer"),
        ("authorization", SECRET, "authorization"),
        ("x-api-key", SECRET, "x-api-key"),
        ("api-key", SECRET, "api-key"),
        ("x-goog-api-key", SECRET, "x-goog-api-key"),
        (
            "authorization",
            f"AWS4-HMAC-SHA256 Credential={SECRET}/20260101/us-east-1/bedrock/aws4_request, "
            "SignedHeaders=host, Signature=00",
            "aws4-hmac-sha256",
        ),
    ],
)
def test_one_secret_has_one_hash_wherever_it_stands(name: str, value: str, scheme: str) -> None:
    assert told(name, value) == Credential(scheme=scheme, hash=HASH)
    assert len(HASH) == 16


def test_a_key_in_the_query_is_one_too() -> None:
    assert credential({}, f"/x?alt=sse&key={SECRET}&y=1", KEY) == Credential(
        scheme="query", hash=HASH
    )
    assert credential({}, f"/x?monkey={SECRET}", KEY) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", ""),
        ("authorization", "AWS4-HMAC-SHA256 Signature=00"),
        ("x-api-key", " "),
        ("x-other", SECRET),
    ],
)
def test_without_a_credential_there_is_none(name: str, value: str) -> None:
    assert told(name, value) is None


def test_what_is_no_known_scheme_is_not_shown_as_one() -> None:
    found = told("authorization", f"{SECRET} x")

    assert found is not None
    assert found.scheme == "authorization"


def test_without_a_key_nothing_is_hashed() -> None:
    assert told("x-api-key", SECRET, key=b"") is None


def test_other_secrets_and_other_keys_have_other_hashes() -> None:
    other, elsewhere = told("x-api-key", SECRET + "x"), told("x-api-key", SECRET, key=b"other")

    assert other is not None
    assert elsewhere is not None
    assert len({HASH, other.hash, elsewhere.hash}) == 3


def test_any_text_is_hashed() -> None:
    assert told("x-api-key", "\udc80") is not None


@pytest.mark.parametrize("key", [b"", KEY])
def test_a_prompt_tells_its_credential_where_a_key_is_given(key: bytes) -> None:
    options = type(DEFAULT_OPTIONS)(
        providers=DEFAULT_OPTIONS.providers, prices=DEFAULT_OPTIONS.prices, credential_key=key
    )
    asked = request(CHAT, headers={"Authorization": f"Bearer {SECRET}"})
    (seen,) = ConnectionReader("api.openai.com", options).feed(Direction.WRITE, asked, 1)

    assert isinstance(seen.action, Prompt)
    expected = Credential(scheme="bearer", hash=HASH) if key else None
    assert seen.action.credential == expected
