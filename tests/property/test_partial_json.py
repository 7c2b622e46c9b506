import json

from hypothesis import given
from hypothesis import strategies as st

from busted.protocols import detect, jsonrpc, partial_json

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4)
    ),
    max_leaves=20,
)
pieces = [b"{", b"}", b"[", b"]", b'"', b":", b",", b"1", b"-1e9", b"null", b"\\ud800", b"\\"]
pieces += [
    b"\n",
    b"\xff",
    b"\xef\xbb\xbf",
    b"[" * 300,
    b'"jsonrpc":"2.0"',
    b'"method":"m"',
    b'"id":',
]
tokens = st.sampled_from(pieces)
junk = st.lists(tokens | st.binary(max_size=3), max_size=20).map(b"".join)


@given(values, st.booleans())
def test_valid_json_is_read_as_it_is(value: object, ascii_only: bool) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert partial_json.parse(data) == partial_json.Parsed(value)


@given(st.data(), st.dictionaries(st.text(max_size=5), values, min_size=1, max_size=4))
def test_a_cut_object_is_read_as_far_as_it_goes(
    data: st.DataObject, value: dict[str, object]
) -> None:
    whole = json.dumps(value, ensure_ascii=False).encode()
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    parsed = partial_json.parse(cut)

    assert parsed.ok
    assert parsed.truncated
    assert isinstance(parsed.value, dict)
    complete = list(parsed.value)[:-1]
    assert all(parsed.value[key] == value[key] for key in complete)


@given(junk)
def test_any_bytes_are_survived(data: bytes) -> None:
    """Neither raises; a message is only found where the version is."""
    partial_json.parse(data)
    assert not jsonrpc.read(data) or b"2.0" in data


@given(junk | st.binary(max_size=600))
def test_any_bytes_are_something(data: bytes) -> None:
    assert (detect.detect(data) == "unknown") == (not data[: detect.LOOK_BYTES].strip())


@given(st.lists(st.text(), max_size=5))
def test_json_is_detected_as_json_wherever_it_is_cut(value: list[str]) -> None:
    data = json.dumps({"messages": value}).encode()
    assert {detect.detect(data[:end]) for end in range(1, len(data) + 1)} == {"json"}
