from busted.classifier.interest import (
    MAX_BINARY_BYTES,
    MAX_OTHER_BYTES,
    MAX_OTHER_EXCHANGES,
    MAX_TEXT_BYTES,
    Interest,
)
from busted.classifier.providers import Provider

OPENAI = Provider("openai", "OpenAI", ("api.openai.com",))


def test_other_exchanges_count_in_a_row() -> None:
    interest = Interest()
    for _ in range(MAX_OTHER_EXCHANGES):
        assert interest.verdict == "undecided"
        interest.other(1, complete=True)

    assert interest.verdict == "not_ai"


def test_an_ai_exchange_decides_for_good() -> None:
    interest = Interest()
    interest.ai(None)
    for _ in range(2 * MAX_OTHER_EXCHANGES):
        interest.other(MAX_OTHER_BYTES, complete=True)

    assert interest.verdict == "ai"
    assert interest.provider is None


def test_text_may_be_longer_than_binary_before_any_http() -> None:
    text, binary = Interest(), Interest()
    text.unread(b"a" * MAX_TEXT_BYTES)
    binary.unread(bytes(MAX_BINARY_BYTES))
    before = [text.verdict, binary.verdict]
    text.unread(b"a")
    binary.unread(b"\0")

    assert before == ["undecided", "undecided"]
    assert [text.verdict, binary.verdict] == ["not_ai", "not_ai"]


def test_a_known_host_outweighs_all_but_being_the_server() -> None:
    interest = Interest()
    interest.unread(bytes(2 * MAX_BINARY_BYTES))
    interest.host(OPENAI)
    known = interest.verdict
    interest.mute()
    interest.host(OPENAI)

    assert [known, interest.verdict] == ["ai", "not_ai"]
    assert interest.provider == "openai"
