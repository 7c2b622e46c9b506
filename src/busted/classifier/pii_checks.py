"""Whether what looks like personal data or a secret is one: check digits, ranges, randomness.

Each check takes the bytes that a rule of `pii_rules` matched, ASCII all of them, and says yes or
no. None of them looks at what stands around.

Left out: whether a number was ever given to somebody, which only its issuer knows.
"""

from __future__ import annotations

import binascii
import math
import re
from collections import Counter
from functools import lru_cache

# What stands between the groups of a number.
SEPARATORS = b" -./()"

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
# Nearly every long number in a text is looked up here, so not all rows are.
_ISSUERS_BY_FIRST = {
    first: [row for row in _ISSUERS if row[0][0][0] <= first <= row[0][1][0]]
    for first in "0123456789"
}

# A digit and the sum of the digits of its double.
_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")

# Lengths of IBANs by country: SWIFT's IBAN registry, https://www.swift.com/resource/iban-registry-pdf
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}
_IBAN_NUMBERS = {ord(c): str(int(c, 36)) for c in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
# Those whose account numbers have no letters.
_LETTERLESS = (
    "AT BA BE CR CZ DE DK EE ES FI FO GL HR HU IL IS LT ME NO PL PT RS SE SI SK TL TN VA XK"
)
_IBAN_DIGITS = frozenset(_LETTERLESS.split())

# Numbers that were printed on sample cards: https://www.ssa.gov/history/ssn/misused.html
_SSN_SAMPLES = frozenset((b"078051120", b"219099999", b"457555462"))

# What stands in documents and examples where a secret would.
_SAMPLES = (
    *(b"example", b"sample", b"dummy", b"placeholder", b"changeme", b"change_me", b"change-me"),
    *(b"replace", b"redacted", b"your", b"insert", b"xxxx", b"***", b"...", b"<", b">", b"${"),
    *(b"{{", b"%(", b"0123456", b"12345678", b"abcdef", b"aaaaaa", b"fake", b"todo", b"testkey"),
    *(b"test_key", b"test-key", b"test_token", b"test-token", b"test_secret", b"test-secret"),
)
# A key may hold four letters that are a word by chance, but hardly more.
_SAMPLE_KEYS = (b"example", b"xxxxx", b"your-", b"your_", b"...", b"placeholder", b"redacted")
# Where a sample says that it is one.
MAX_CHECKED = 512
_SPANISH = b"TRWAGMYFPDXBNJZSQVHLCKE"
# Values of characters at odd places of a codice fiscale: decree of 23 December 1976, art. 12.
_ITALIAN_ODD = tuple(
    b"\1\0\5\7\x09\x0d\x0f\x11\x13\x15\2\4\x12\x14\x0b\3\6\x08\x0c\x0e\x10\x0a\x16\x19\x18\x17"
)
# Verhoeff's dihedral group: https://en.wikipedia.org/wiki/Verhoeff_algorithm
_VERHOEFF_TIMES = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_VERHOEFF_PLACE = (
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def digits_of(value: bytes) -> str:
    """Return a number without what separates its groups."""
    return value.translate(None, SEPARATORS).decode("ascii", "replace")


def luhn(digits: str) -> bool:
    """Check the last digit (ISO/IEC 7812-1 annex B)."""
    spelled = digits.encode()
    # The bytes of digits are 48 more than what they spell.
    total = sum(spelled[-1::-2]) + sum(spelled[-2::-2].translate(_DOUBLED)) - 48 * len(spelled)
    return total % 10 == 0


def has_luhn_digits(value: bytes) -> bool:
    """Check the last of the digits in a value, whatever stands between them."""
    digits = "".join(chr(byte) for byte in value if 48 <= byte <= 57)
    return len(digits) > 1 and luhn(digits)


def is_email(value: bytes) -> bool:
    """Tell whether it is no file; images for dense screens are called `icon@2x.png`."""
    return not value.endswith(_FILE_ENDINGS)


_FILE_ENDINGS = (b".png", b".jpg", b".jpeg", b".gif", b".webp", b".svg", b".css", b".js")


def is_card(value: bytes) -> bool:
    """Tell whether an issuer of cards gives such numbers, and the check digit is right."""
    digits = digits_of(value)
    for (low, high), lengths in _ISSUERS_BY_FIRST.get(digits[:1], ()):
        if len(digits) in lengths and low <= digits[: len(low)] <= high:
            return luhn(digits)
    return False


def is_iban(value: bytes) -> bool:
    """Check length, letters and the check digits (ISO 13616, ISO/IEC 7064 MOD 97-10)."""
    compact = value.translate(None, b" -")
    country, account = compact[:2].decode(), compact[4:]
    if len(compact) != _IBAN_LENGTHS.get(country):
        return False
    if country in _IBAN_DIGITS and not account.isdigit():
        return False
    return int("".join(map(_IBAN_NUMBERS.__getitem__, account + compact[:4]))) % 97 == 1


def is_ssn(value: bytes) -> bool:
    """Tell whether the US gives such numbers (SSA POMS RM 10201.035)."""
    digits = value.translate(None, b" -")
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return (
        area not in (b"000", b"666")
        and area < b"900"
        and group != b"00"
        and serial != b"0000"
        and digits not in _SSN_SAMPLES
        and len(set(digits)) > 3
    )


# A number with a sign and a fraction is none of a telephone.
_DECIMAL = re.compile(rb"\.[0-9]{1,2}\Z")


@lru_cache(maxsize=1024)
def is_phone(value: bytes, region: str) -> bool:
    """Tell whether a number of this length can be dialled; `region` reads national forms."""
    if _DECIMAL.search(value):
        return False
    # Here, since it takes 1.7 MB, and most agents never write a telephone number.
    import phonenumbers

    try:
        number = phonenumbers.parse(value.decode("ascii"), region)
    except (phonenumbers.NumberParseException, UnicodeDecodeError):
        return False
    return phonenumbers.is_valid_number(number)


def is_region(region: str) -> bool:
    """Tell whether there is a country or territory of this code (ISO 3166-1)."""
    if region == "US":  # the default, without what `is_phone` loads
        return True
    import phonenumbers

    return region in phonenumbers.SUPPORTED_REGIONS


def entropy(value: bytes) -> float:
    """Return Shannon's entropy of the bytes, in bits a byte."""
    counts = Counter(value).values()
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts)


def is_random(value: bytes) -> bool:
    """Tell whether a value of 8 bytes or more could be a key, rather than words or a sample."""
    if not is_no_sample(value):
        return False
    return entropy(value) >= min(3.0, math.log2(len(value)) * 0.8)


def is_no_sample(value: bytes) -> bool:
    """Tell whether a value is none of those that documents show in place of a secret."""
    return not any(map(value[:MAX_CHECKED].lower().__contains__, _SAMPLES))


def is_no_word(value: bytes) -> bool:
    """Tell whether a value is neither a sample nor a few words with hyphens between them."""
    return is_no_sample(value) and not _HYPHENATED.fullmatch(value)


def is_key(value: bytes) -> bool:
    """Tell whether what follows the fixed beginning of a key is no sample of a document."""
    start = value[:MAX_CHECKED]
    return not any(map(start.lower().__contains__, _SAMPLE_KEYS)) and len(set(start)) > 4


# UUIDs, short hashes, names with dots, and words with hyphens and few digits: these name things.
_IDENTIFIER = re.compile(
    rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{1,31}"
    rb"|(?:[A-Za-z]+[0-9]{0,3}[-_./]+)+[A-Za-z0-9]{1,15}|[^0-9]*+[0-9]?[^0-9]*+"
    rb"|(?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*"
)
# Both a digit and a letter.
_MIXED = re.compile(rb"(?=[^0-9]*+[0-9])(?=[^A-Za-z]*+[A-Za-z])")
_WORDS = re.compile(rb"[A-Za-z]+(?:[._:/-]+[A-Za-z]+)*[0-9]{0,2}|[A-Za-z_]+[A-Za-z0-9_.]*\(.*")
_HYPHENATED = re.compile(rb"[a-z]+(?:[._-][a-z]+)+")


def is_assigned_secret(value: bytes) -> bool:
    """Tell whether what is assigned to a secret's name is one: mixed, and no name or sample."""
    if not _MIXED.match(value) or _WORDS.fullmatch(value) or _IDENTIFIER.fullmatch(value):
        return False
    return is_random(value)


def is_assigned_password(value: bytes) -> bool:
    """Tell whether what is assigned to a password's name is one rather than a name or sample."""
    mixed = _MIXED.match(value) and not _WORDS.fullmatch(value)
    return bool(mixed) and is_no_sample(value) and entropy(value) >= 2.5


def is_url_secret(value: bytes) -> bool:
    """Tell whether `user:password` of a URL holds a password rather than a sample of one."""
    password = value.partition(b":")[2]
    weak = len(password) < 3 or password.lower() in _WEAK
    return not weak and is_no_sample(password)


_WEAK = frozenset(
    b"password passwd pass pwd secret user username pw token port psw passphrase foo bar".split()
)


def is_jwt(value: bytes) -> bool:
    """Tell whether the first part says how it is signed (RFC 7515 section 4.1.1)."""
    head = value.partition(b".")[0]
    return b'"alg"' in decoded_base64(head)


def decoded_base64(text: bytes) -> bytes:
    """Return what base64 of either alphabet stands for, without an end that is not whole."""
    text = text.translate(_URL_SAFE).rstrip(b"=")
    if len(text) % 4 == 1:
        text = text[:-1]
    try:
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return b""


# RFC 4648 section 5.
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def is_ipv4(value: bytes) -> bool:
    """Tell whether it is an address that says something of a place: no loopback, no mask."""
    parts = [int(part) for part in value.split(b".")]
    return all(part < 256 for part in parts) and parts[0] not in (0, 127, 255) and parts[0] < 224


def is_ipv6(value: bytes) -> bool:
    """Tell whether it is an address (RFC 4291 section 2.2), and not the loopback."""
    groups, double = value.split(b":"), value.count(b"::")
    if double > 1 or b":::" in value:
        return False
    filled = [group for group in groups if group]
    return len(filled) >= 3 and (
        (len(groups) == 8 and not double) or (len(groups) <= 8 and double == 1)
    )


def is_spanish_id(value: bytes) -> bool:
    """Check the letter of a DNI or NIE (Real Decreto 1553/2005, Orden INT/2058/2008)."""
    first = {b"X": b"0", b"Y": b"1", b"Z": b"2"}.get(value[:1], value[:1])
    return value[-1] == _SPANISH[int(first + value[1:-1].translate(None, b"-")) % 23]


def is_italian_id(value: bytes) -> bool:
    """Check the last letter of a codice fiscale."""
    total = 0
    for place, byte in enumerate(value[:15]):
        number = byte - 48 if byte < 65 else byte - 65
        total += number if place % 2 else _ITALIAN_ODD[number]
    return value[15] == 65 + total % 26


def is_french_id(value: bytes) -> bool:
    """Check the key of a NIR: 97 less the rest of the number by 97."""
    compact = value.replace(b" ", b"")
    number = compact[:13].replace(b"2A", b"19").replace(b"2B", b"18")
    return 97 - int(number) % 97 == int(compact[13:])


def is_german_tax_id(value: bytes) -> bool:
    """Check the last digit (ISO/IEC 7064 MOD 11,10) of a Steuer-ID."""
    digits = digits_of(value)
    product = 10
    for digit in digits[:10]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return digits[0] != "0" and (11 - product) % 10 == int(digits[10])


def is_cpf(value: bytes) -> bool:
    """Check the two last digits of a Brazilian CPF (modulo 11)."""
    digits = [int(digit) for digit in digits_of(value)]
    if len(set(digits)) == 1:
        return False
    for length in (9, 10):
        total = sum(d * (length + 1 - i) for i, d in enumerate(digits[:length]))
        if total * 10 % 11 % 10 != digits[length]:
            return False
    return True


def is_bsn(value: bytes) -> bool:
    """Do the Dutch proof by eleven."""
    digits = [int(digit) for digit in digits_of(value)]
    total = sum(d * (9 - i) for i, d in enumerate(digits[:8])) - digits[8]
    return total % 11 == 0 and any(digits)


def is_aadhaar(value: bytes) -> bool:
    """Check the last digit of an Indian Aadhaar number (Verhoeff)."""
    check = 0
    for place, digit in enumerate(reversed(digits_of(value))):
        check = int(_VERHOEFF_TIMES[check][int(_VERHOEFF_PLACE[place % 8][int(digit)])])
    return check == 0


def is_sin(value: bytes) -> bool:
    """Check a Canadian social insurance number (Luhn; none begins with 8)."""
    digits = digits_of(value)
    return digits[0] not in "08" and luhn(digits)


def is_passport_line(value: bytes) -> bool:
    """Check the digits of a passport's second line (ICAO Doc 9303 part 4, part 3 section 4.9)."""
    return _icao(value[:9]) == value[9] - 48 and _icao(value[13:19]) == value[19] - 48


def _icao(field: bytes) -> int:
    total = 0
    for place, byte in enumerate(field):
        number = 0 if byte == 60 else byte - 48 if byte < 65 else byte - 55
        total += number * (7, 3, 1)[place % 3]
    return total % 10
