"""Every dialect reads JSON of any shape: it never raises, and what it tells can be written."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from busted.classifier.assembly import MAX_CALLS, MAX_ERROR_CHARS, MAX_RESULTS, Answer
from busted.classifier.chat import MAX_MESSAGES, MAX_TEXT_CHARS, MAX_TOOLS, ModelRequest
from busted.classifier.dialects import DIALECTS, Dialect
from tests.property.test_classify import json_values


@given(json_values, st.sampled_from(DIALECTS), st.booleans())
def test_an_answer_of_any_shape_is_read_by_every_dialect(
    value: object, dialect: Dialect, stream: bool
) -> None:
    answer = Answer()
    body = value if isinstance(value, dict) else {"output": value, "content": value}
    if stream:
        dialect.read_event(answer, "{...}", body)
    else:
        dialect.read_answer(answer, body)

    calls = answer.tool_calls(None, truncated=False)
    results = answer.tool_results(None, truncated=False)
    assert len(calls) <= MAX_CALLS
    assert len(results) <= MAX_RESULTS
    assert len(answer.error or "") <= MAX_ERROR_CHARS
    told = (answer.text, answer.reasoning, answer.error, answer.usage, calls, results)
    assert msgspec.json.decode(msgspec.json.encode(told))[:2] == [answer.text, answer.reasoning]


@given(json_values, st.sampled_from(DIALECTS))
def test_a_request_of_any_shape_is_read_by_every_dialect(value: object, dialect: Dialect) -> None:
    body = value if isinstance(value, dict) else {"input": value, "messages": value}

    judged = dialect.is_request(body), dialect.is_distinct(body), dialect.is_answer(body)
    asked = dialect.read_request(body)
    assert {type(answer) for answer in judged} == {bool}
    assert len(asked.messages) <= MAX_MESSAGES
    assert len(asked.tools) <= MAX_TOOLS
    assert len(asked.user_message or "") <= MAX_TEXT_CHARS
    assert msgspec.convert(msgspec.to_builtins(asked), ModelRequest) == asked
