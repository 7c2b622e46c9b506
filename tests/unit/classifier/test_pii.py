import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from busted.classifier.canaries import Canary
from busted.classifier.direction import Direction
from busted.classifier.pii import MAX_CLEAN_TEXTS, MAX_FINDINGS, MAX_SCAN_CHARS, Scanner
from busted.classifier.pii_search import SIGNS
from busted.events import ChatMessage, Finding, PiiDetected, Prompt, Response, ToolCall

KEY = b"k" * 16
SCANNER = Scanner()
examine, redact = SCANNER.examine, SCANNER.redact
# Built from parts, so that no scanner takes them for real.
SECRETS = {
    "sk-" + "a1b2C" * 8: "openai_key",
    "sk-proj-" + "aB3_-" * 8: "openai_key",
    "sk-ant-" + "api03-" + "a1b2C" * 8: "anthropic_key",
    "AKIA" + "A1B2C3D4" * 2: "aws_access_key_id",
    "ASIA" + "A1B2C3D4" * 2: "aws_access_key_id",
    "ghp_" + "a1B2c3" * 6: "github_token",
    "github_pat_" + "a1B2c3" * 6: "github_token",
    "AIza" + "a1B2c" * 7: "google_api_key",
    "xoxb-" + "123456" * 2 + "-" + "a1B2c3" * 2: "slack_token",
    "hf_" + "a1B2c3" * 6: "huggingface_token",
}
SECRET = next(iter(SECRETS))
CARDS = [
    "4111111111111111",
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "3782 822463 10005",
    "6011111111111117",
    "3530111333300000",
    "30569309025904",
    "3056 930902 5904",
    "4222222222222",
]
EMAILS = ["bob@example.com", "a.b+c@mail.example.co.uk", "x_1%y@a-b.io"]


def find(text: str) -> tuple[Finding, ...]:
    return SCANNER.find(text).findings


def find_in_body(body: bytes) -> tuple[Finding, ...]:
    return SCANNER.find_in_body(body).findings


def kinds(text: str) -> list[tuple[str, str]]:
    return [(finding.kind, text[finding.start : finding.end]) for finding in find(text)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((kind, secret) for secret, kind in SECRETS.items()),
        *(("credit_card", card) for card in CARDS),
        *(("email", email) for email in EMAILS),
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "it is {}, ok", "<{}>", '{{"a":"{}"}}', "x\n{}\n", "键{}值"]
)
def test_each_kind_is_found_where_it_stands(kind: str, value: str, around: str) -> None:
    assert kinds(around.format(value)) == [(kind, value)]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("Bearer " + "a1" * 10, "bearer_token", "a1" * 10),
        ("bearer  " + "aBcde" * 8 + "==", "bearer_token", "aBcde" * 8 + "=="),
        ("Authorization: Basic " + "dXNl" * 3, "authorization", "dXNl" * 3),
        ('{"authorization": "Token ' + "abc1" * 4 + '"}', "authorization", "abc1" * 4),
        ("AUTHORIZATION=" + "gbH1jK2m" * 2, "authorization", "gbH1jK2m" * 2),
    ],
)
def test_credentials_are_found_without_their_scheme(text: str, kind: str, value: str) -> None:
    assert kinds(text) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no one@ here",
        "@app.route",
        "a@b",
        "icon@2x.png",
        "user@localhost",
        "4111111111111112",  # the check digit is wrong
        "1234567812345670",  # nobody issues these
        "94111111111111111",
        "0.4111111111111111",
        "41111111111111110000",
        "a4111111111111111",
        "4111 1111-1111 1111",
        "sk-learn and ask-" + "a" * 40,
        "sk-cube-grid-spinner-animation",
        "AKIA",
        "task" + SECRET,
        "the bearer of the certificate",
        "bearer authentication-mechanism",
        "Authorization: none",
        "ghp_short",
        "12345678901234567890123456789012345678901234567890",
    ],
)
def test_near_misses_are_not_found(text: str) -> None:
    assert find(text) == ()


def test_findings_do_not_overlap_and_are_in_order() -> None:
    text = f"bob@example.com Authorization: Bearer {SECRET} {CARDS[0]}"

    assert kinds(text) == [
        ("email", "bob@example.com"),
        ("openai_key", SECRET),
        ("credit_card", CARDS[0]),
    ]


@pytest.mark.parametrize("secret", [*SECRETS, *CARDS, *EMAILS])
def test_a_secret_is_replaced_by_the_same_token_everywhere(secret: str) -> None:
    text = redact(f"{secret} and {secret}.", KEY)
    first, _, second = text.removesuffix(".").partition(" and ")

    assert secret not in text
    assert first == second
    assert redact(secret, b"other") != redact(secret, KEY)


def test_a_token_tells_the_kind_and_four_hex_digits() -> None:
    kind, digits = redact("bob@example.com", KEY).strip("<>").split(":")

    assert kind == "email"
    assert len(digits) == 4
    assert int(digits, 16) >= 0


@pytest.mark.parametrize("secret", [*SECRETS, *CARDS[:6]])
def test_a_secret_cut_at_the_end_does_not_leak(secret: str) -> None:
    for end in range(12, len(secret)):
        assert secret[:end] not in redact(f"it is {secret[:end]}", KEY)


def test_an_address_cut_at_the_end_does_not_leak() -> None:
    for end in range(len("bob@"), len("bob@example.com")):
        assert "bob@" not in redact("it is " + "bob@example.com"[:end], KEY)


def test_text_without_findings_stays_as_it_is() -> None:
    assert redact("nothing to see, sk- or @ aside.", KEY) == "nothing to see, sk- or @ aside."


def test_what_is_not_scanned_is_not_shown() -> None:
    text = redact(" " * (MAX_SCAN_CHARS - 3) + SECRET, KEY)

    assert "sk-" not in text
    assert text.endswith("<not scanned: 40 characters>")


# For each pattern a text that makes a backtracking engine try again at every place. The
# work is bounded because a place costs at most as much as the longest bounded repeat.
@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "@",
        "a@",
        "a.a@a.a.",
        "@a.a.a.a.a.a.a.a.a",
        "1",
        "1 ",
        "4-",
        "4111 1111 1111 111 ",
        "sk-",
        "sk-ant-",
        "sk-proj-a ",
        "AKIAA",
        "ghp_",
        "github_pat_",
        "AIza",
        "xoxb-",
        "hf_",
        "bearer ",
        "bearer a",
        "Bearer" + " " * 4 + "a" * 15 + " ",
        "authorization",
        "authorization: ",
        "authorization: bearer ",
        "authorization\"'  :  ",
    ],
)
def test_a_hostile_megabyte_is_scanned_to_its_end_or_what_is_left_is_told(unit: str) -> None:
    text = unit * ((1 << 20) // len(unit)) + " \nbob@example.com"

    scan = SCANNER.find(text)

    found = [text[finding.start : finding.end] for finding in scan.findings[-1:]]
    assert found == ["bob@example.com"] or scan.unscanned >= len("bob@example.com")
    assert "bob@" not in redact(text, KEY)


def test_a_list_of_findings_is_read_up_to_a_limit_and_the_rest_is_told_and_hidden() -> None:
    text = "".join(f"u{number}@example.com\n" for number in range(20_000))

    scan = SCANNER.find(text)
    shown = redact(text, KEY, cut=False)

    assert len(scan.findings) == MAX_FINDINGS
    assert scan.counts["email"] > SIGNS
    assert scan.unscanned > 0
    assert "example" not in shown
    assert re.search(r"<not scanned: \d+ characters>$", shown)


def test_threads_may_search_at_the_same_time() -> None:
    texts = [f"{SECRET}{' ' * 200}" * 1_000] * 8

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(SCANNER.find, texts))

    assert [scan.counts for scan in found] == [{"openai_key": 1_000}] * 8


def test_a_body_is_searched_as_json_text_and_placed_by_its_bytes() -> None:
    body = f'{{"a":"é\\n{SECRET}\\\\n{SECRET}\\u000abob@example.com"}}'.encode()

    found = [(f.kind, body[f.start : f.end].decode()) for f in find_in_body(body)]

    # The second one stands behind an escape too, of JSON within that JSON.
    assert found == [("openai_key", SECRET)] * 2 + [("email", "bob@example.com")]


def test_an_action_is_followed_by_what_it_reveals() -> None:
    prompt = Prompt(
        api="openai.chat",
        messages=(
            ChatMessage(role="user", content="I am bob@example.com"),
            ChatMessage(role="assistant", content="hi"),
            ChatMessage(role="user", content=f"and {CARDS[0]}"),
        ),
        user_message=f"and {CARDS[0]}",
        stream=False,
        bytes=0,
        truncated=False,
    )

    first, second = examine(prompt, Direction.WRITE)

    assert isinstance(first, Prompt)
    assert [(f.kind, f.where) for f in first.pii] == [
        ("email", "messages.0"),
        ("credit_card", "user_message"),
    ]
    assert second == PiiDetected(
        direction="write",
        kinds=("credit_card", "email"),
        categories=("personal",),
        counts={"credit_card": 1, "email": 1},
        written={"credit_card": 1, "email": 1},
        where="Prompt",
        actions=("Prompt",),
        count=2,
    )


def test_a_clean_action_is_alone() -> None:
    response = Response(api="x", status=200, text="hi", stream=False, bytes=2, truncated=False)

    assert examine(response, Direction.READ) == (response,)


def test_what_is_told_of_many_findings_is_bounded() -> None:
    count = MAX_FINDINGS + 20
    call = ToolCall(name="mail", arguments="a@example.com " * count, truncated=False)

    first, second = examine(call, Direction.READ)

    assert isinstance(first, ToolCall)
    assert isinstance(second, PiiDetected)
    assert len(first.pii) == MAX_FINDINGS
    assert second.count == count


def test_a_scanner_takes_the_rules_of_another_wherever_it_is_used_and_keeps_its_key() -> None:
    used = Scanner(key=b"k")
    other = Scanner(canaries=[Canary(name="backup", value="planted-value-77")])
    assert used.redact("planted-value-77", b"k", cut=False) == "planted-value-77"

    used.take_rules(other)

    assert used.redact("planted-value-77", b"k", cut=False).startswith("<canary:")
    assert used.key == b"k"


def test_of_short_clean_texts_no_more_are_remembered_than_the_limit() -> None:
    scanner = Scanner()
    for number in range(MAX_CLEAN_TEXTS + 10):
        text = f"model {number:x}"
        assert scanner.redact(text, b"k", cut=False) == text
        assert len(scanner._clean) <= MAX_CLEAN_TEXTS
    assert scanner._clean
