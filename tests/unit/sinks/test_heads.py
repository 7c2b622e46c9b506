import pytest

from busted.events import to_json
from busted.sinks.channel import Item
from busted.sinks.heads import Gravity, head, nanoseconds
from tests.unit.sinks.samples import PII, PROMPT, event


def test_a_head_has_what_peers_sort_by() -> None:
    whole = event(PROMPT)
    told = head(Item(whole.id, 0, to_json(whole)))

    assert (told.time, told.host, told.action.type) == (whole.time, whole.host, "Prompt")
    assert (told.process.name, told.process.pid) == (whole.process.name, whole.process.pid)


@pytest.mark.parametrize(
    ("json", "gravity"),
    [
        (to_json(event(PROMPT)), "info"),
        (to_json(event(PII)), "warning"),
        (b'{"policy": {"decision": "audit"}}', "warning"),
        (b'{"policy": {"decision": "deny"}}', "error"),
    ],
)
def test_gravity_follows_policy_and_findings(json: bytes, gravity: Gravity) -> None:
    assert head(Item("", 0, json)).gravity == gravity


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000_123_456_789),
        ("2023-11-14T22:13:20.5Z", 1_700_000_000_500_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000_000),
    ],
)
def test_times_keep_their_nanoseconds(time: str, expected: int) -> None:
    assert nanoseconds(time) == expected
