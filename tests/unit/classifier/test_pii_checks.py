import base64
import json

import pytest

from busted.classifier import pii_checks as checks
from busted.classifier.pii import Scanner

# Samples that the issuers' own documents print, mostly.
VALID = [
    (checks.is_iban, "GB82WEST12345698765432"),
    (checks.is_iban, "DE89 3704 0044 0532 0130 00"),
    (checks.is_iban, "NL91ABNA0417164300"),
    (checks.is_ssn, "536-22-8726"),
    (checks.is_spanish_id, "12345678Z"),
    (checks.is_spanish_id, "X1234567L"),
    (checks.is_italian_id, "RSSMRA85T10A562S"),
    (checks.is_french_id, "255081416802538"),
    (checks.is_german_tax_id, "86095742719"),
    (checks.is_cpf, "529.982.247-25"),
    (checks.is_bsn, "111222333"),
    (checks.is_aadhaar, "2341 2341 2346"),
    (checks.is_sin, "130 692 544"),
    (checks.is_passport_line, "L898902C36UTO7408122F1204159ZE184226B<<<<<10"),
    (checks.is_ipv4, "203.0.113.9"),
    (checks.is_ipv6, "2001:db8::8a2e:370:7334"),
    (checks.is_ipv6, "2001:db8:0:0:8:800:200c:417a"),
    (checks.is_card, "4111 1111 1111 1111"),
]
INVALID = [
    (checks.is_iban, "DE89370400440532013001"),
    (checks.is_iban, "DE8937040044053201300A"),
    (checks.is_iban, "ZZ89370400440532013000"),
    (checks.is_ssn, "666-22-8726"),
    (checks.is_ssn, "936-22-8726"),
    (checks.is_ssn, "536-00-8726"),
    (checks.is_ssn, "536-22-0000"),
    (checks.is_ssn, "078-05-1120"),
    (checks.is_spanish_id, "12345678A"),
    (checks.is_italian_id, "RSSMRA85T10A562T"),
    (checks.is_french_id, "255081416802539"),
    (checks.is_german_tax_id, "86095742718"),
    (checks.is_cpf, "529.982.247-26"),
    (checks.is_cpf, "111.111.111-11"),
    (checks.is_bsn, "111222334"),
    (checks.is_aadhaar, "2341 2341 2345"),
    (checks.is_sin, "130 692 545"),
    (checks.is_sin, "046 454 286"),
    (checks.is_passport_line, "L898902C37UTO7408122F1204159ZE184226B<<<<<10"),
    (checks.is_ipv4, "127.0.0.1"),
    (checks.is_ipv4, "300.1.1.1"),
    (checks.is_ipv6, "12:34:56"),
    (checks.is_ipv6, "1::2::3"),
    (checks.is_card, "4111 1111 1111 1112"),
]


@pytest.mark.parametrize(("check", "value"), VALID)
def test_what_is_right_passes(check: object, value: str) -> None:
    assert callable(check)
    assert check(value.encode())


@pytest.mark.parametrize(("check", "value"), INVALID)
def test_what_is_wrong_by_a_digit_or_was_never_given_does_not(check: object, value: str) -> None:
    assert callable(check)
    assert not check(value.encode())


def test_luhn_is_what_the_standard_says() -> None:
    assert checks.luhn("79927398713")
    assert not checks.luhn("79927398710")


@pytest.mark.parametrize(
    ("value", "region", "is_one"),
    [
        ("+44 20 7946 0958", "US", True),
        ("202-555-0143", "US", True),
        ("020 7946 0958", "GB", True),
        ("020 7946 0958", "US", False),
        ("123-456-7890", "US", False),
        ("+35236450.6", "US", False),
        ("+", "US", False),
    ],
)
def test_a_telephone_number_is_one_that_can_be_dialled(
    value: str, region: str, is_one: bool
) -> None:
    assert checks.is_phone(value.encode(), region) == is_one


@pytest.mark.parametrize("value", ["aB3xK9mQ2pL7vR4t", "d41d8cd98f00b204e9800998ecf8427e"])
def test_random_values_are_secrets(value: str) -> None:
    assert checks.is_assigned_secret(value.encode())


@pytest.mark.parametrize(
    "value",
    [
        "get_access_token_from_server",
        "self.settings.secret",
        "rust_openssl.hpke.MLKEM768X25519",
        "7f36cb30-74ef-4cff-8cd4-a77e1aba1746",
        "48205d4ffd7feba3",
        "YOUR_API_KEY_GOES_HERE_1",
        "aaaaaaaaaaaaaaaa1",
        "AWS4-HMAC-SHA256",
    ],
)
def test_names_and_samples_are_none(value: str) -> None:
    assert not checks.is_assigned_secret(value.encode())


@pytest.mark.parametrize("text", [b"", b"e", b"eyJ", b"@@@", b"ab-_", b"a" * 5])
def test_any_text_is_decoded_as_far_as_it_is_base64(text: bytes) -> None:
    assert isinstance(checks.decoded_base64(text), bytes)


def test_what_says_how_it_is_signed_is_a_token() -> None:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    signature = "c2lnbmF0dXJlLWJ5LW5vYm9keQ"

    assert checks.is_jwt(f"{part({'alg': 'none'})}.{part({})}.{signature}".encode())
    assert not checks.is_jwt(f"{part({'typ': 'x'})}.{part({})}.{signature}".encode())


NATIONAL = {
    "uk_nino": "AB 12 34 56 C",
    "es_dni": "12345678Z",
    "it_codice_fiscale": "RSSMRA85T10A562S",
    "fr_nir": "2 55 08 14 168 025 38",
    "de_tax_id": "Steuer-ID: 86095742719",
    "br_cpf": "529.982.247-25",
    "nl_bsn": "BSN: 111222333",
    "in_aadhaar": "2341 2341 2346",
    "ca_sin": "SIN 130 692 544",
    "passport": "Passport No. C01234567",
}


@pytest.mark.parametrize("kind", NATIONAL)
def test_the_pack_of_national_numbers_finds_each_of_them(kind: str) -> None:
    text = f"it is {NATIONAL[kind]}, yes"

    assert [f.kind for f in Scanner(packs=["national_id"]).find(text).findings] == [kind]
    assert kind not in Scanner().find(text).counts
