import pytest
from msgspec import ValidationError, convert
from msgspec.structs import asdict

from busted.classifier import Direction
from busted.classifier.connection import ConnectionReader
from busted.classifier.options import DEFAULT_OPTIONS, with_rows
from busted.classifier.prices import Price, Prices
from busted.classifier.prices_table import PRICES
from busted.events import Response, Usage
from tests.unit.classifier.wire import (
    CHAT,
    CHUNKS,
    COMPLETION,
    MESSAGES,
    chunked,
    named_sse,
    request,
    response,
    sse,
)

cost = DEFAULT_OPTIONS.prices.cost
SOME = Usage(input=1_000, output=100)
MODELS = [(row, model) for row in PRICES for model in row.models]


def test_the_table_is_as_an_operator_would_have_to_write_it() -> None:
    for row in PRICES:
        assert convert({k: v for k, v in asdict(row).items() if v is not None}, Price) == row
        assert (row.cached or 0) <= row.input


def test_no_model_has_two_prices() -> None:
    keys = [(row.provider, model, row.above) for row, model in MODELS]

    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("row", "model"), MODELS, ids=[f"{m}>{r.above}" for r, m in MODELS])
def test_each_row_is_found_by_its_models_and_by_nothing_near(row: Price, model: str) -> None:
    tokens = row.above + 1_000_000
    usage = Usage(input=tokens, output=0)
    if not row.above and any(other.above and model in other.models for other, _ in MODELS):
        usage = Usage(input=1_000, output=0)
    assert usage.input is not None
    expected = pytest.approx(usage.input * row.input / 1e6, abs=1e-9)

    assert cost(row.provider, model, usage) == expected
    dated = cost(row.provider, f"{model}-2031-01-31", usage)
    assert dated == expected
    assert cost(row.provider, f"{model}-20310131", usage) == expected
    for near in (f"{model}-x", f"x{model}", model.upper(), f"{model}-20311301", f"{model}-2031"):
        assert cost(row.provider, near, usage) is None
    assert cost("nobody", model, usage) is None


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        ("gpt-4o", Usage(input=1_000, output=100), 0.0035),
        ("gpt-4o-2024-08-06", Usage(input=1_000, output=100), 0.0035),
        ("gpt-4o-2024-05-13", Usage(input=1_000, output=100), 0.0065),
        ("gpt-4o", Usage(input=1_000, output=100, cached=400), 0.003),
        # No price of its own for what came from the cache: it costs as all input.
        ("gpt-4-turbo", Usage(input=1_000, output=100, cached=400), 0.013),
        ("gpt-4o", Usage(input=0, output=1), 0.00001),
        ("text-embedding-3-small", Usage(input=5), 0.0000001),
    ],
)
def test_tokens_times_prices(model: str, usage: Usage, dollars: float) -> None:
    assert cost("openai", model, usage) == dollars


def test_reading_and_writing_the_cache_of_anthropic_have_their_prices() -> None:
    usage = Usage(input=10_000, cached=6_000, cache_written=3_000, output=100)

    # 1,000 at 3, 6,000 at 0.3, 3,000 at 3.75, 100 at 15
    assert cost("anthropic", "claude-sonnet-4-5-20250929", usage) == 0.01755


def test_long_requests_cost_more_where_the_provider_says_so() -> None:
    assert cost("gcp.gemini", "gemini-2.5-pro", Usage(input=200_000, output=0)) == 0.25
    assert cost("gcp.gemini", "gemini-2.5-pro", Usage(input=200_001, output=0)) == 0.5000025


@pytest.mark.parametrize(
    "usage",
    [
        None,
        Usage(),
        Usage(input=5),
        Usage(output=5),
        Usage(input=-1, output=5),
        Usage(input=1, output=-5),
        Usage(input=1, output=5, cached=2),
        Usage(input=3, output=5, cached=2, cache_written=2),
        Usage(input=3, output=5, cached=-2),
    ],
)
def test_without_a_usage_that_makes_sense_there_is_no_cost(usage: Usage | None) -> None:
    assert cost("openai", "gpt-4o", usage) is None


def test_what_is_unknown_has_no_cost() -> None:
    assert cost("openai", "gpt-99", SOME) is None
    assert cost("openai", None, SOME) is None
    assert cost(None, "gpt-4o", SOME) is None
    assert cost("azure.ai.openai", "gpt-4o", SOME) is None


def test_an_operators_price_replaces_all_of_ours_for_that_model() -> None:
    mine = Price(provider="gcp.gemini", models=("gemini-2.5-pro",), input=1, output=2)
    prices = with_rows((), (mine,)).prices

    usage = Usage(input=300_000, output=0)
    assert prices.cost("gcp.gemini", "gemini-2.5-pro", usage) == 0.3
    assert prices.cost("openai", "gpt-4o", SOME) == 0.0035


def test_no_prices_no_cost() -> None:
    assert Prices().cost("openai", "gpt-4o", SOME) is None


@pytest.mark.parametrize(
    "change", [{"input": -1}, {"models": []}, {"models": [""]}, {"outputs": 1}, {"above": -1}]
)
def test_rows_that_make_no_sense_are_refused(change: dict[str, object]) -> None:
    row = {"provider": "x", "models": ["m"], "input": 1, "output": 2}

    assert convert(row, Price).input == 1
    with pytest.raises(ValidationError):
        convert(row | change, Price)


def answered(asked: bytes, answer: bytes, sni: str) -> Response:
    reader = ConnectionReader(sni)
    seen = reader.feed(Direction.WRITE, asked, 1) + reader.feed(Direction.READ, answer, 2)
    seen += reader.close(3)
    (found,) = (one.action for one in seen if isinstance(one.action, Response))
    return found


def test_a_response_tells_its_cost() -> None:
    whole = answered(request(CHAT), response(COMPLETION), "api.openai.com")
    streamed = answered(request(CHAT), chunked(sse(CHUNKS)), "api.openai.com")

    # 5 tokens at 2.5, 2 at 10
    assert (whole.cost, streamed.cost) == (0.0000325, 0.0000325)


def test_an_answer_that_names_no_model_costs_what_was_asked_for() -> None:
    body = {key: value for key, value in COMPLETION.items() if key != "model"}

    assert answered(request(CHAT), response(body), "api.openai.com").cost == 0.0000325


def test_what_an_unknown_host_takes_is_not_known() -> None:
    assert answered(request(CHAT), response(COMPLETION), "llm.example").cost is None


def test_a_stream_that_broke_off_has_not_counted_its_tokens() -> None:
    begun = {
        "type": "message_start",
        "message": {
            "model": "claude-sonnet-4-5-20250929",
            "usage": {"input_tokens": 1_000_000, "output_tokens": 1},
        },
    }
    ended = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 100_000},
    }
    asked = request(MESSAGES, path="/v1/messages", host="api.anthropic.com")

    broken = answered(asked, chunked(named_sse([begun]), last=False), "api.anthropic.com")
    whole = answered(asked, chunked(named_sse([begun, ended])), "api.anthropic.com")

    assert broken.usage == Usage(input=1_000_000, output=1)
    assert broken.cost is None
    assert whole.cost == 6.0 + 2.25
