import unicodedata
from datetime import UTC, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.events import (
    Action,
    ChatMessage,
    Coverage,
    Event,
    Identity,
    PolicyDecision,
    Prompt,
    Response,
    Sdk,
)
from busted.sinks.console import Console, cut, excerpt, head, visible
from tests.unit.sinks.samples import (
    A2A_REQUEST,
    A2A_RESPONSE,
    ACTIONS,
    CANARY,
    COVERAGE,
    FILE_ACCESS,
    FILE_DATA,
    MCP_REQUEST,
    MCP_RESPONSE,
    NETWORK,
    PII,
    PROCESS_EXEC,
    PROMPT,
    RESPONSE,
    TOOL_CALL,
    TOOL_RESULT,
    UNREAD,
    event,
)


def text(action: Action, width: int = 80) -> str:
    return Console(zone=UTC, width=width)(event(action)).decode()


def verbose(event: Event) -> str:
    return Console(zone=UTC, verbose=True)(event).decode()


def prompt(said: str) -> Prompt:
    return msgspec.structs.replace(PROMPT, user_message=said)


@pytest.mark.parametrize(
    ("action", "lines"),
    [
        (
            PROMPT,
            [
                "14:03:22.117 python3(41213) >>> openai gpt-4o stream 512 bytes",
                "             openai-python/1.52.0",
                "    What is the capital of France?",
            ],
        ),
        (
            RESPONSE,
            [
                "14:03:22.117 python3(41213) <<< openai gpt-4o 200 1.36 s first token 0.42 s",
                "             tokens 18 in 7 out",
                "    Paris, naïve friend.",
            ],
        ),
        (TOOL_CALL, ["14:03:22.117 python3(41213) <~> get_weather", '    {"city":"Paris"}']),
        (TOOL_RESULT, ["14:03:22.117 python3(41213) ~> get_weather", "    22 degrees"]),
        (
            MCP_REQUEST,
            [
                "14:03:22.117 python3(41213) >>> MCP tools/call read_file",
                '    {"path":"/etc/hosts"}',
            ],
        ),
        (MCP_RESPONSE, ["14:03:22.117 python3(41213) <<< MCP tools/call", '    {"ok":1}']),
        (
            A2A_REQUEST,
            ["14:03:22.117 python3(41213) >>> A2A SendMessage weather", "    How is Oslo?"],
        ),
        (
            A2A_RESPONSE,
            ["14:03:22.117 python3(41213) <<< A2A SendMessage weather completed", "    Sunny."],
        ),
        (
            msgspec.structs.replace(A2A_RESPONSE, error="404: none", error_code=404, state=None),
            ["14:03:22.117 python3(41213) <<< A2A SendMessage weather error 404", "    404: none"],
        ),
        (CANARY, ["14:03:22.117 python3(41213) !! canary payroll sent in Prompt as base64"]),
        (PII, ["14:03:22.117 python3(41213) !! PII sent in Prompt: email, api_key (3)"]),
        (
            NETWORK,
            [
                "14:03:22.117 python3(41213) --> close openai api.openai.com 203.0.113.1:443",
                "             2,048 bytes sent, 4,096 received 1.25 s",
            ],
        ),
        (
            msgspec.structs.replace(NETWORK, operation="accept", provider=None, name=None),
            ["14:03:22.117 python3(41213) <-- accept 203.0.113.1:443"],
        ),
        (
            msgspec.structs.replace(NETWORK, operation="connect", error="ECONNREFUSED"),
            [
                "14:03:22.117 python3(41213) --> connect openai api.openai.com 203.0.113.1:443",
                "             ECONNREFUSED",
            ],
        ),
        (
            FILE_ACCESS,
            ["14:03:22.117 python3(41213) [o] open /srv/app/.env read environment error EACCES"],
        ),
        (
            FILE_DATA,
            ["14:03:22.117 python3(41213) -> /srv/app/notes.txt 9 bytes", "    Buy milk."],
        ),
        (
            PROCESS_EXEC,
            [
                "14:03:22.117 python3(41213) [x] /usr/bin/git for claude-code(40000)",
                "    git commit -m 'It works.'",
            ],
        ),
        (
            COVERAGE,
            [
                "14:03:22.117 --- watching 2 TLS libraries in 12 processes; 1 not watched; lost:",
                "             ring_full 4,096",
                "    /usr/lib/libssl.so.3 (11)",
                "    /usr/bin/node (1)",
                "    not watched: /opt/agent: its symbols are stripped",
            ],
        ),
        (
            UNREAD,
            [
                "14:03:22.117 python3(41213) [?] opaque api.openai.com no_hook java_jsse 0 of",
                "             8,000 bytes",
            ],
        ),
        (Coverage(), ["14:03:22.117 --- no process uses a TLS library yet; watching for one"]),
    ],
)
def test_each_action_reads_on_80_columns(action: Action, lines: list[str]) -> None:
    assert text(action).splitlines() == lines
    assert max(map(len, lines)) <= 80


def test_times_are_local() -> None:
    assert head(event(PII), timezone(timedelta(hours=2))).startswith("16:03:22.117 ")


def test_truncation_and_errors_are_told() -> None:
    cut_off = msgspec.structs.replace(RESPONSE, truncated=True, error="overloaded")

    assert "truncated" in text(cut_off)
    assert "overloaded" in text(cut_off)


def test_what_does_not_fit_is_told_in_the_first_line() -> None:
    identity = Identity(
        id="i", name="curl", instance="1", confidence=0.9, level="new", mismatch=("user_agent",)
    )

    told = head(msgspec.structs.replace(event(PROMPT), identity=identity), UTC)
    assert told.endswith(" does not fit: user_agent")
    assert "does not fit" not in head(event(PROMPT), UTC)


def test_an_unknown_provider_is_shown_by_its_dialect() -> None:
    bare = Response(api="openai.chat", status=200, stream=False, bytes=1, truncated=False)

    assert text(bare) == "14:03:22.117 python3(41213) <<< openai.chat 200\n"


def test_an_agent_is_shown_rather_than_the_library_it_wraps() -> None:
    said = msgspec.structs.replace(PROMPT, agent=Sdk(name="opencode", version="1.18.33"))

    assert head(event(said)).endswith(" opencode/1.18.33")


def test_a_long_text_is_cut_and_says_so() -> None:
    lines = text(prompt("word " * 100_000), width=40).splitlines()

    assert lines[-1].endswith("…")
    assert max(map(len, lines)) <= 40
    assert len(lines) < 10


def test_a_text_that_fits_is_not_marked() -> None:
    assert excerpt("a\nb\nc", 10) == ["a", "b", "c"]
    assert excerpt("a\nb\nc\nd", 10) == ["a", "b", "c…"]
    assert excerpt(" \n ", 10) == []


def test_cutting_never_splits_a_character() -> None:
    assert cut("日本語のテキスト", 4) == "日本語…"
    assert excerpt("é" * 100, 10, lines=1) == ["é" * 9 + "…"]


@pytest.mark.parametrize(
    ("captured", "shown"),
    [
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\x9b2Jb", "a\\x9b2Jb"),
        ("\u202edrowssap", "\\u202edrowssap"),
        ("line\nbreak\r", "line\\nbreak\\r"),
        ("half \ud83d", "half \\ud83d"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("narrow\u202fspace", "narrow space"),
        ("👩‍🚀 naïve", "👩‍🚀 naïve"),
    ],
)
def test_what_does_not_print_is_spelled_out(captured: str, shown: str) -> None:
    assert visible(captured) == shown


HOSTILE = st.text(st.characters(exclude_categories=()), max_size=200)


@given(HOSTILE, st.booleans())
def test_captured_text_cannot_drive_the_terminal(said: str, everything: bool) -> None:
    hostile = Prompt(
        api=said,
        provider=said,
        model=said,
        user_message=said,
        messages=(ChatMessage(role=said, content=said),),
        params={said: said},
        stream=False,
        bytes=1,
        truncated=False,
    )

    shown = Console(zone=UTC, verbose=everything)(event(hostile, name=said)).decode()

    odd = {c for c in shown if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert odd <= {"\n", "\u200c", "\u200d"}


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_verbose_shows_every_field(action: Action) -> None:
    shown = verbose(event(action))

    def check(value: object) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                assert f"{name}:" in shown
                check(item)
        elif isinstance(value, list):
            for item in value:
                check(item)
        elif isinstance(value, str):
            assert value in shown

    check(msgspec.json.decode(msgspec.json.encode(event(action))))


def test_verbose_cuts_nothing_and_keeps_the_lines() -> None:
    shown = verbose(event(prompt("first\n" + "x" * 5000)))

    assert "user_message:\n" in shown
    assert "            first\n" in shown
    assert "x" * 5000 in shown


def test_colour_wraps_whole_lines_only_when_asked() -> None:
    coloured = Console(colour=True, zone=UTC)(event(TOOL_CALL)).decode()

    assert coloured.startswith("\x1b[33m14:03")
    assert coloured.count("\x1b[0m") == 1
    assert "\x1b" not in text(TOOL_CALL)


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (PolicyDecision(decision="allow", reasons=("fine",)), ""),
        (PolicyDecision(decision="audit"), " => audit"),
        (PolicyDecision(decision="deny", reasons=("too dear",)), " => deny too dear"),
        (PolicyDecision(decision="deny", reasons=("a", "b", "c")), " => deny a (and 2 more)"),
        (
            PolicyDecision(decision="deny", error="late"),
            " => deny late",
        ),
        (PolicyDecision(decision="deny", enforced="after_send"), " => deny after send"),
        (PolicyDecision(decision="deny", reasons=("\x1b[2J",)), " => deny \\x1b[2J"),
    ],
)
def test_what_policy_says_stands_behind_the_event_unless_it_allows(
    policy: PolicyDecision, told: str
) -> None:
    plain = head(event(NETWORK), UTC)

    assert head(msgspec.structs.replace(event(NETWORK), policy=policy), UTC) == plain + told


def test_what_is_denied_stands_out() -> None:
    denied = msgspec.structs.replace(event(PROMPT), policy=PolicyDecision(decision="deny"))

    assert Console(colour=True)(denied).startswith(b"\x1b[1;31m")
    assert not Console(colour=True)(event(PROMPT)).startswith(b"\x1b[1;31m")
