from hypothesis import given
from hypothesis import strategies as st

from busted.protocols.grpc import GrpcMessage, GrpcParser, is_grpc, read_method
from tests.property.test_http1 import Step, bytewise, cut_steps, merge

PIECES = [b"\0\0\0\0\5hello", b"\1\0\0\0\0", b"\x80\0\0\0\3a:b", b"\0\0\0\0\x09"]
traffic = st.lists(
    st.sampled_from(PIECES) | st.binary(max_size=3) | st.integers(1, 12), max_size=12
).map(merge)


def parse(steps: list[Step]) -> tuple[list[GrpcMessage], bool, int]:
    parser = GrpcParser()
    messages: list[GrpcMessage] = []
    for step in steps:
        messages += parser.gap(step) if isinstance(step, int) else parser.feed(step)
    is_lost = parser.is_lost
    messages += parser.close()
    return messages, is_lost, parser.skipped


@given(cut_steps(traffic))
def test_cuts_do_not_matter(traffic: tuple[list[Step], list[Step]]) -> None:
    """However the body is sliced, gaps included, the same messages come out."""
    whole, cut = traffic
    expected = parse(whole)

    assert parse(bytewise(whole)) == expected
    assert parse(cut) == expected


@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    assert not is_grpc(text) or "grpc" in text.lower()
    assert read_method(text) is None or text.startswith("/")
