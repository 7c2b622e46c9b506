import pytest

from busted.protocols.partial_json import MAX_DEPTH, Parsed, parse


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a":[1,2.5,null,true]}', {"a": [1, 2.5, None, True]}),
        (b' "x" ', "x"),
        (b"null", None),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"a":1} trailing', {"a": 1}),
        (b'{"a":"\xff"}', {"a": "\ufffd"}),
        (b'{"a":"\\ud800x"}', {"a": "\ufffdx"}),
        (b'{"a":"\\ud83d\\ude00\xff"}', {"a": "\U0001f600\ufffd"}),
        (b'{"a":"\\\\ud800\xff"}', {"a": "\\ud800\ufffd"}),
        (b'{"a":"x\ny\x01",\n"b":1}', {"a": "x\ny\x01", "b": 1}),
    ],
)
def test_whole_values_are_read_even_when_malformed(data: bytes, value: object) -> None:
    assert parse(data) == Parsed(value)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"model":"m","messages":[{"role":"user","content":"Hel', None),
        (b'{"a":1,"b":tr', {"a": 1}),
        (b'{"a":"\xe2\x82', {"a": ""}),
        (b'{"\xff":1,"a":"\xe2\x82', {"\ufffd": 1, "a": ""}),
        (b'{"a":1,}', {"a": 1}),
        (b'{"a":1,\n"b":oops}', {"a": 1}),
    ],
)
def test_cut_values_are_read_as_far_as_they_go(data: bytes, value: object) -> None:
    messages = [{"role": "user", "content": "Hel"}]
    expected = value or {"model": "m", "messages": messages}
    assert parse(data) == Parsed(expected, truncated=True)


@pytest.mark.parametrize("data", [b"", b"  ", b"hello", b"{a:1}", b"[oops]", b"\x1f\x8b\0", b"tru"])
def test_what_is_no_json_is_told(data: bytes) -> None:
    assert not parse(data).ok


def test_what_lies_too_deep_is_replaced_and_the_rest_is_read() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    parsed = parse(b'{"deep":' + deep + b',"model":"m"}')
    assert parsed.ok
    assert parsed.truncated
    assert isinstance(parsed.value, dict)
    assert parsed.value["model"] == "m"


def test_a_depth_bomb_is_read_down_to_the_limit() -> None:
    value = parse(b"[" * 100_000).value
    for _ in range(MAX_DEPTH - 1):
        assert isinstance(value, list)
        (value,) = value or [None]
    assert value is not None


def test_brackets_in_strings_have_no_depth() -> None:
    text = "[" * 1000
    assert parse(f'{{"a":"{text}\\"","b":"\xff"}}'.encode("latin-1")).value == {
        "a": text + '"',
        "b": "\ufffd",
    }
