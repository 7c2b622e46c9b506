from typing import Literal

from busted.classifier.exchange import Observed
from busted.classifier.pii_exchanges import TELL_SECONDS, Revealed, together
from busted.events import PiiDetected, Response

SECOND = 1_000_000_000
RESPONSE = Response(api="x", status=200, stream=False, bytes=0, truncated=False)


def detected(
    where: str, counts: dict[str, int], direction: Literal["write", "read"] = "write"
) -> PiiDetected:
    return PiiDetected(
        direction=direction,
        kinds=tuple(sorted(counts)),
        categories=("personal",),
        counts=counts,
        written=counts if direction == "write" else {},
        where=where,
        actions=(where,),
        count=sum(counts.values()),
    )


def seen(action: PiiDetected | Response, exchange: int = 1, time_ns: int = 0) -> Observed:
    return Observed(action=action, time_ns=time_ns, exchange=exchange, http_version="1.1")


ASKED = detected("Prompt", {"email": 2})
ANSWERED = detected("Response", {"email": 1, "phone": 1}, "read")


def test_what_two_actions_reveal_is_added_up_by_kind() -> None:
    assert together(ASKED, ANSWERED) == PiiDetected(
        direction="write",
        kinds=("email", "phone"),
        categories=("personal",),
        counts={"email": 3, "phone": 1},
        written={"email": 2},
        where="Prompt",
        actions=("Prompt", "Response"),
        count=4,
    )


def test_it_is_kept_back_until_the_exchange_is_over() -> None:
    revealed = Revealed()

    assert revealed.keep([seen(ASKED), seen(RESPONSE)], 0) == [seen(RESPONSE)]
    assert list(revealed.over({1}, 1)) == []
    assert revealed.keep([seen(ANSWERED, time_ns=2)], 2) == []

    assert list(revealed.over({2}, 3)) == [seen(together(ASKED, ANSWERED), time_ns=3)]
    assert not revealed


def test_exchanges_are_told_apart() -> None:
    revealed = Revealed()
    revealed.keep([seen(ASKED, 1), seen(ANSWERED, 2)], 0)

    assert list(revealed.over({1}, 0)) == [seen(ANSWERED, 2)]
    assert list(revealed.over(set(), 0)) == [seen(ASKED, 1)]


def test_what_lasts_is_told_after_a_while_and_then_what_came_later() -> None:
    revealed = Revealed()
    revealed.keep([seen(ASKED)], 0)
    end = TELL_SECONDS * SECOND

    assert list(revealed.expire(end)) == []
    assert [one.action for one in revealed.expire(end + 1)] == [ASKED]
    assert revealed.keep([seen(ANSWERED, time_ns=end + 2)], end + 2) == []
    assert [one.action for one in revealed.over(set(), end + 3)] == [ANSWERED]


def test_the_oldest_is_told_before_too_many_are_kept() -> None:
    revealed = Revealed(max_exchanges=2)

    told = revealed.keep([seen(ASKED, number) for number in (1, 2, 3)], 5)

    assert told == [seen(ASKED, 1, 5)]
    assert {one.exchange for one in revealed.over(set(), 5)} == {2, 3}


def test_what_a_server_says_by_itself_is_told_at_once() -> None:
    alone = seen(detected("McpRequest", {"email": 1}, "read"))
    asked = seen(detected("McpRequest", {"email": 1}))

    assert Revealed().keep([alone, asked], 0) == [alone]
