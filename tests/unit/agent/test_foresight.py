from __future__ import annotations

from busted.agent import foresight
from busted.agent.foresight import MAX_AT_ONCE, MAX_PLACES, Foreseen, Foresight
from busted.events import Network, Process
from busted.records import ProcessKey

CLAUDE, CODEX = ProcessKey(7, 70), ProcessKey(8, 80)
OPENAI, MISTRAL = "api.openai.com", "api.mistral.ai"
PROVIDERS = {OPENAI: "openai", MISTRAL: "mistral_ai"}
NETNS = 5


class Host:
    """A foresight, and the names that addresses have."""

    def __init__(self) -> None:
        self.names: dict[str, tuple[str, ...]] = {}
        self.foresight = Foresight(
            PROVIDERS.get, lambda netns, address, now_ns: self.names.get(address, ())
        )

    def learned(self, name: str, address: str) -> list[tuple[int, str]]:
        self.names.setdefault(address, (name,))
        return pairs(self.foresight.learned(NETNS, name, address, 1))

    def began(self, agent: ProcessKey) -> list[tuple[int, str]]:
        return pairs(self.foresight.began(agent, Process(pid=agent.pid, name="x"), 1))


def pairs(foreseen: object) -> list[tuple[int, str]]:
    told = list(foreseen)  # type: ignore[call-overload]
    return [(one.told.process.pid, one.told.connection.dst_ip) for one in told]


def test_who_begins_may_connect_to_all_providers_that_are_known_and_to_those_learned_then() -> None:
    host = Host()
    assert host.learned(OPENAI, "192.0.2.1") == []
    assert host.began(CLAUDE) == [(7, "192.0.2.1")]
    assert host.learned(MISTRAL, "192.0.2.2") == [(7, "192.0.2.2")]
    assert host.began(CODEX) == [(8, "192.0.2.1"), (8, "192.0.2.2")]
    assert sorted(pairs(host.foresight.all(2))) == [
        (agent, address) for agent in (7, 8) for address in ("192.0.2.1", "192.0.2.2")
    ]


def test_what_is_foreseen_is_what_the_connection_would_be_told_as() -> None:
    host = Host()
    host.learned(OPENAI, "192.0.2.1")
    (one,) = host.foresight.began(CLAUDE, Process(pid=7, name="claude", uid=3), 9)
    assert isinstance(one, Foreseen)
    assert one.netns == NETNS
    assert (one.told.time_ns, one.told.key) == (9, CLAUDE)
    assert one.told.process == Process(pid=7, name="claude", uid=3)
    action, connection = one.told.action, one.told.connection
    assert isinstance(action, Network)
    assert connection is not None
    assert (action.operation, action.error, action.provider) == ("connect", None, "openai")
    assert (action.name, action.name_source) == (OPENAI, "dns")
    assert (connection.dst_ip, connection.dst_port) == ("192.0.2.1", 443)


def test_who_ended_connects_nowhere() -> None:
    host = Host()
    host.began(CLAUDE)
    host.foresight.ended(CLAUDE)
    host.foresight.ended(CODEX)
    assert host.learned(OPENAI, "192.0.2.1") == []


def test_what_is_no_provider_or_has_several_names_or_none_any_more_is_left_out() -> None:
    host = Host()
    host.began(CLAUDE)
    assert host.learned("example.com", "192.0.2.1") == []
    host.names["192.0.2.2"] = (OPENAI, "example.com")
    assert host.learned(OPENAI, "192.0.2.2") == []
    host.learned(OPENAI, "192.0.2.3")
    host.names["192.0.2.3"] = ()
    assert pairs(host.foresight.all(2)) == []


def test_memory_and_what_is_asked_at_once_are_bounded() -> None:
    host = Host()
    for number in range(2 * MAX_PLACES):
        host.learned(OPENAI, f"192.0.2.{number}")
    assert host.began(CLAUDE) == [(7, f"192.0.2.{n}") for n in range(MAX_PLACES, 2 * MAX_PLACES)]
    for number in range(2 * foresight.MAX_AGENTS):
        host.began(ProcessKey(100 + number, 1))
    last = pairs(host.foresight.all(2))
    assert len(last) == MAX_AT_ONCE
    assert last[0] == (99 + 2 * foresight.MAX_AGENTS, f"192.0.2.{2 * MAX_PLACES - 1}")
    assert len(host.learned(OPENAI, "192.0.2.255")) == foresight.MAX_AGENTS
