import pytest

from busted.classifier.mcp_params import MAX_DEPTH, Annotation, annotated, contradictions

SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "page": {
            "type": "object",
            "properties": {"n": {"type": "integer", "x-mcp-header": "Page"}},
        },
        "other": {"type": "string"},
    },
}
KNOWN = (Annotation("mcp-param-region", ("region",)), Annotation("mcp-param-page", ("page", "n")))


def test_a_schema_says_which_arguments_headers_repeat() -> None:
    assert annotated(SCHEMA) == KNOWN


@pytest.mark.parametrize("schema", [None, 7, {}, {"properties": [1]}, {"properties": {"a": 7}}])
def test_other_schemas_say_nothing(schema: object) -> None:
    assert annotated(schema) == ()


def test_a_schema_without_end_is_left() -> None:
    schema: dict[str, object] = {}
    for _ in range(100):
        schema = {"properties": {"a": {"x-mcp-header": "a", **schema}}}
    assert len(annotated(schema)) == MAX_DEPTH
    wide = {"properties": {str(n): {"x-mcp-header": "a"} for n in range(1000)}}
    assert len(annotated(wide)) == 64


@pytest.mark.parametrize(
    ("headers", "arguments", "wrong"),
    [
        ({"region": "eu"}, {"region": "eu"}, []),
        ({"region": "eu"}, {"region": "us"}, ["region"]),
        ({"region": "eu"}, {}, ["region"]),
        ({"region": "eu"}, {"region": None}, ["region"]),
        ({"region": "eu"}, {"region": ["eu"]}, ["region"]),
        ({}, {"region": "eu"}, ["region"]),
        ({"page": "42"}, {"page": {"n": 42.0}}, []),
        ({"page": "42.0"}, {"page": {"n": 42}}, []),
        ({"page": "4"}, {"page": {"n": 42}}, ["page"]),
        ({"page": "true"}, {"page": {"n": True}}, []),
        ({"page": "1"}, {"page": 7}, ["page"]),
        ({"page": "1"}, {"page": {"n": 10**5000}}, ["page"]),
        ({"unknown": "x"}, {}, []),
    ],
)
def test_headers_and_arguments_must_agree(
    headers: dict[str, str], arguments: object, wrong: list[str]
) -> None:
    repeated = tuple((f"mcp-param-{name}", value) for name, value in headers.items())
    found = contradictions(repeated, arguments, KNOWN, required=True)
    assert list(found) == [f"mcp-param-{name}" for name in wrong]


def test_what_is_missing_is_only_told_where_it_is_required() -> None:
    assert contradictions((), {"region": "eu"}, KNOWN, required=False) == ()


def test_a_header_that_comes_twice_and_differs_contradicts_itself() -> None:
    twice = (("mcp-param-region", "us"), ("mcp-param-region", "eu"))
    assert contradictions(twice, {"region": "eu"}, KNOWN, required=True) == ("mcp-param-region",)


@pytest.mark.parametrize(
    ("value", "arguments", "wrong"),
    [
        ("eu", {"region": "eu"}, False),
        ("7", {"deep": [{"n": 7.0}]}, False),
        ("us", {"region": "eu"}, True),
        ("us", None, True),
    ],
)
def test_without_a_schema_a_header_must_repeat_some_argument(
    value: str, arguments: object, wrong: bool
) -> None:
    found = contradictions((("mcp-param-x", value),), arguments, None, required=True)
    assert found == (("mcp-param-x",) if wrong else ())
