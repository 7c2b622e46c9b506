"""Every dialect reads JSON of any shape: it never raises, and what it tells can be written."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from busted.classifier.assembly import Answer
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

    told = answer.tool_calls(None, truncated=False), answer.tool_results(None, truncated=False)
    msgspec.json.encode((answer.text, answer.reasoning, answer.error, answer.usage, told))


@given(json_values, st.sampled_from(DIALECTS))
def test_a_request_of_any_shape_is_read_by_every_dialect(value: object, dialect: Dialect) -> None:
    body = value if isinstance(value, dict) else {"input": value, "messages": value}

    dialect.is_request(body)
    dialect.is_distinct(body)
    dialect.is_answer(body)
    msgspec.json.encode(dialect.read_request(body))
