import json

import msgspec
import pytest

from busted.agent.content import OURS, ContentFilter, Level
from busted.events import (
    CONTENT_FIELDS,
    ChatMessage,
    Connection,
    Credential,
    Event,
    Finding,
    Identity,
    McpRequest,
    Peer,
    PolicyDecision,
    Process,
    Prompt,
    Response,
    Sdk,
    ToolCall,
    Value,
    to_json,
)

KEY = b"k" * 16
SECRET = "sk-" + "a1B2c3D4e5" * 4
EMAIL = "grace" + "@" + "example.org"


def event(action: object, **process: object) -> Event:
    return msgspec.convert(
        {
            "schema": 1,
            "id": "01JD8ZK4T5W3X2Y1V0N9M8Q7R6",
            "time": "2026-11-22T14:03:22.117456789Z",
            "host": "host",
            "process": {"pid": 7, "name": "python3"} | process,
            "action": msgspec.to_builtins(action),
        },
        Event,
    )


def call(arguments: str) -> Event:
    return event(ToolCall(name="run", arguments=arguments, truncated=False))


def arguments(filtered: Event) -> str:
    assert isinstance(filtered.action, ToolCall)
    assert filtered.action.arguments is not None
    return filtered.action.arguments


def everywhere(text: str) -> Event:
    """An event with `text` in every string that could be foreign."""
    return Event(
        schema=1,
        id="01JD8ZK4T5W3X2Y1V0N9M8Q7R6",
        time="2026-11-22T14:03:22.117456789Z",
        host="host",
        process=Process(pid=7, name=text, exe=text, argv=("curl", "-H", text)),
        connection=Connection(id="7-1-1", sni=text, tls_library=text),
        session_id=text,
        policy=PolicyDecision(decision="audit", reasons=(text,), rule=text, file=text, error=text),
        action=Prompt(
            api=text,
            provider=text,
            endpoint=f"/v1/{text}",
            operation=text,
            model=text,
            messages=(ChatMessage(role=text, content=text),),
            system_prompt=text,
            user_message=text,
            tools=(text,),
            params={text: text, "n": 2},
            sdk=Sdk(name=text, version=text),
            agent=Sdk(name=text, version=text),
            api_version=text,
            betas=(text,),
            credential=Credential(scheme=text, hash="35f1c0de35f1c0de"),
            pii=(Finding(kind="api_key", start=3, end=9, where="user_message"),),
            stream=True,
            bytes=12,
            truncated=False,
        ),
    )


def test_full_changes_nothing() -> None:
    said = everywhere(SECRET)

    assert ContentFilter("full", KEY)(said) is said


@pytest.mark.parametrize("level", ["redacted", "none"])
@pytest.mark.parametrize("secret", [SECRET, EMAIL])
def test_a_secret_is_nowhere_below_full(level: Level, secret: str) -> None:
    assert secret.encode() not in to_json(ContentFilter(level, KEY)(everywhere(secret)))


def test_redacted_keeps_the_rest_of_the_text() -> None:
    said = f"Mail {EMAIL} today"
    response = Response(api="x", status=200, text=said, stream=False, bytes=1, truncated=False)

    shown = ContentFilter("redacted", KEY)(event(response)).action

    assert isinstance(shown, Response)
    assert shown.text is not None
    assert shown.text.startswith("Mail <email:")
    assert shown.text.endswith("> today")


def test_a_token_ties_equal_values_within_a_run_only() -> None:
    one, same = ContentFilter("redacted", KEY), ContentFilter("redacted", KEY)
    other = ContentFilter("redacted", b"another key, another run")

    assert one(call(EMAIL)) == same(call(EMAIL))
    assert one(call(EMAIL)) != other(call(EMAIL))


def test_none_leaves_metadata_and_findings() -> None:
    shown = msgspec.json.decode(to_json(ContentFilter("none", KEY)(everywhere("word"))))

    assert shown["action"]["bytes"] == 12
    assert shown["action"]["model"] == "word"
    assert shown["action"]["pii"] == [
        {"kind": "api_key", "start": 3, "end": 9, "where": "user_message"}
    ]
    assert not {"messages", "system_prompt", "user_message"} & set(shown["action"])
    assert "argv" not in shown["process"]


@pytest.mark.parametrize("kind", CONTENT_FIELDS, ids=lambda kind: kind.__name__)
def test_every_content_field_can_be_left_out(kind: type[Value]) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}

    assert set(CONTENT_FIELDS[kind]) <= set(fields)
    assert not any(fields[name].required for name in CONTENT_FIELDS[kind])


@pytest.mark.parametrize("level", ["redacted", "none"])
def test_our_identifiers_and_times_stay(level: Level) -> None:
    # Sixteen digits that pass as a card number must not cost an event its identity.
    number = "4111" + "1111" * 3
    credential = Credential(scheme="bearer", hash=number)
    prompt = everywhere("word").action
    policy = PolicyDecision(decision="audit", id=number)
    said = msgspec.structs.replace(
        everywhere("word"),
        action=msgspec.structs.replace(prompt, credential=credential),
        policy=policy,
        id=number,
        exchange_id=number,
        connection=Connection(id=number, peer=Peer(pid=8, name="y", start_time=number)),
        process=Process(
            pid=7,
            name="x",
            build_id=number,
            cgroup_id=number,
            start_time=number,
            container_id=number,
        ),
    )

    shown = ContentFilter(level, KEY)(said)

    assert (shown.id, shown.exchange_id, shown.process) == (number, number, said.process)
    assert shown.connection == said.connection
    assert isinstance(shown.action, Prompt)
    assert shown.action.credential == credential
    assert shown.policy == policy
    ours = {Event, Finding, Identity, Process, Peer, Connection, Credential, PolicyDecision}
    assert OURS.keys() == ours


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"a": f"line\n{SECRET}"}),
        json.dumps({"a": f"tab\t{SECRET}", "b": [EMAIL]}),
        '{"a":"' + "".join(f"\\u{ord(c):04x}" for c in SECRET) + '"}',
        '{"a":"' + EMAIL.replace("@", "\\u0040") + '"}',
        json.dumps({"a": json.dumps({"b": json.dumps({"c": f"deep\n{SECRET}"})})}),
        json.dumps({f"\n{SECRET}": 1}),
    ],
)
def test_escapes_of_json_hide_nothing_and_it_stays_json(text: str) -> None:
    shown = arguments(ContentFilter("redacted", KEY)(call(text)))

    json.loads(shown)
    assert "<" in shown
    assert SECRET not in repr(json.loads(shown))
    assert EMAIL not in repr(json.loads(shown))
    assert SECRET not in shown


@pytest.mark.parametrize(
    "text",
    [
        f'{{"a":"cut off\\n{SECRET}',
        f'{{"a":"cut in an escape\\n{SECRET} \\u00',
        f'prose with one " and then\\n{SECRET}',
        f"C:\\dir\\new\\{SECRET}",
    ],
)
def test_escapes_hide_nothing_in_what_is_not_whole_json(text: str) -> None:
    assert SECRET not in arguments(ContentFilter("redacted", KEY)(call(text)))


@pytest.mark.parametrize("end", [SECRET[:12], EMAIL[:-5], "4111 1111 11"])
def test_the_beginning_of_a_secret_at_the_end_of_a_cut_text_is_hidden(end: str) -> None:
    def shown(truncated: bool) -> str:
        said = Prompt(
            api="x",
            model="gpt-4o-2024-08-06",
            messages=(ChatMessage(role="user", content=f"it is {end}"),),
            stream=False,
            bytes=1,
            truncated=truncated,
        )
        action = ContentFilter("redacted", KEY)(event(said)).action
        assert isinstance(action, Prompt)
        assert action.model == "gpt-4o-2024-08-06"
        return action.messages[0].content

    assert shown(truncated=True).startswith("it is <")
    assert shown(truncated=False) == f"it is {end}"


@pytest.mark.parametrize("end", [SECRET[:12], "4111 1111 11"])
def test_the_end_of_cut_json_is_hidden_behind_an_escape(end: str) -> None:
    said = ToolCall(name="run", arguments=f'{{"a":"x\\n{end}', truncated=True)

    assert end not in arguments(ContentFilter("redacted", KEY)(event(said)))


@pytest.mark.parametrize("text", ["gpt-4o-2024-08-06", "npm@latest", "on 2024-08-06", "sk-learn"])
def test_what_only_begins_like_a_secret_stays(text: str) -> None:
    shown = ContentFilter("redacted", KEY)(everywhere(text))

    assert shown == everywhere(text)


@pytest.mark.parametrize(
    "text", ['{"path": "C:\\\\dir",\n "é": "\\u00e9\\ud83d"}', "a \\ b \\d+ \\u12", ""]
)
def test_text_without_secrets_stays_as_it_is(text: str) -> None:
    assert arguments(ContentFilter("redacted", KEY)(call(text))) == text


def test_half_a_surrogate_pair_stays_an_escape() -> None:
    said = McpRequest(
        method="x",
        category="x",
        kind="request",
        params=f'"\\ud83d\\n{SECRET}"',
        bytes=1,
        truncated=False,
    )

    shown = to_json(ContentFilter("redacted", KEY)(event(said)))

    assert b"\\\\ud83d\\\\n<openai_key:" in shown


def test_an_event_without_secrets_is_not_made_again() -> None:
    harmless = everywhere("hello")
    assert ContentFilter("redacted", KEY)(harmless) is harmless
