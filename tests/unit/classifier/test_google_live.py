"""Google's live sessions, in the shapes of google-genai's types."""

import pytest

from busted.classifier import Direction, classify
from busted.events import ChatMessage, Prompt, Response, ToolCall, ToolResult, Usage
from tests.unit.classifier.test_websocket import JUDGING_AHEAD, only, reader, told
from tests.unit.classifier.wire import as_json

WRITE, READ = Direction.WRITE, Direction.READ
SECOND = 1_000_000_000
HOST = "generativelanguage.googleapis.com"
PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=x"
SETUP = {
    "setup": {
        "model": "models/gemini-live",
        "generationConfig": {"temperature": 0.5, "responseModalities": ["TEXT"]},
        "systemInstruction": {"parts": [{"text": "be kind"}]},
        "tools": [{"functionDeclarations": [{"name": "weather"}]}],
    }
}
TURN = {"role": "user", "parts": [{"text": "hi"}]}
ASK = {"clientContent": {"turns": [TURN], "turnComplete": True}}


def says(text: str) -> dict[str, object]:
    return {"serverContent": {"modelTurn": {"parts": [{"text": text}]}}}


DONE = {
    "serverContent": {"turnComplete": True},
    "usageMetadata": {"promptTokenCount": 7, "responseTokenCount": 3, "totalTokenCount": 10},
}


def test_a_turn_and_what_the_model_says_are_one_exchange() -> None:
    socket = reader(PATH, HOST)
    assert told(socket, WRITE, SETUP) == []
    assert told(socket, READ, {"setupComplete": {}}) == []
    asked = told(socket, WRITE, ASK, time_ns=SECOND)
    said = told(socket, READ, says("Hel"), says("lo"), time_ns=2 * SECOND)
    done = told(socket, READ, {"serverContent": {"generationComplete": True}}, DONE, time_ns=3**20)

    prompt, response = only(asked, Prompt), only(done, Response)
    assert (prompt.api, prompt.provider, prompt.model) == (
        "google.live",
        "gcp.gemini",
        "gemini-live",
    )
    assert (prompt.system_prompt, prompt.user_message, prompt.tools) == (
        "be kind",
        "hi",
        ("weather",),
    )
    assert prompt.params == {"temperature": 0.5}
    assert prompt.bytes == len(as_json(SETUP)) + len(as_json(ASK))
    assert said == []
    assert (response.text, response.finish_reason) == ("Hello", "turn_complete")
    assert response.time_to_first_token == 1.0
    assert response.usage == Usage(input=7, output=3)
    assert {o.exchange for o in (*asked, *done)} == {3}


def test_a_turn_that_comes_in_pieces_is_told_when_it_is_complete() -> None:
    socket = reader(PATH, HOST)
    part = {"client_content": {"turns": [TURN], "turn_complete": False}}
    assert told(socket, WRITE, part) == []
    asked = told(socket, WRITE, {"client_content": {"turn_complete": True}})
    assert only(asked, Prompt).user_message == "hi"


def test_turns_and_text_ahead_of_a_request_are_judged_as_they_are_sent() -> None:
    socket = reader(PATH, HOST, JUDGING_AHEAD)
    part = {"client_content": {"turns": [TURN], "turn_complete": False}}
    (set_up,), (said,), (typed,) = (
        told(socket, WRITE, value) for value in (SETUP, part, {"realtimeInput": {"text": "typed"}})
    )
    assert told(socket, WRITE, {"realtimeInput": {"audio": {"data": "AAAA"}}}) == []

    assert set_up.is_ahead
    assert only([set_up], Prompt).system_prompt == "be kind"
    assert (only([said], Prompt).user_message, only([said], Prompt).model) == ("hi", "gemini-live")
    assert only([typed], Prompt).user_message == "typed"


def test_a_tool_is_called_and_its_result_is_the_next_request() -> None:
    socket = reader(PATH, HOST)
    told(socket, WRITE, SETUP, ASK)
    call = {"id": "c", "name": "weather", "args": {"place": "Bern"}}
    called = told(socket, READ, {"toolCall": {"functionCalls": [call]}})
    result = {"id": "c", "name": "weather", "response": {"output": 5}}
    asked = told(socket, WRITE, {"toolResponse": {"functionResponses": [result]}})
    done = told(socket, READ, says("5 degrees"), DONE)

    assert [type(o.action) for o in called] == [Response, ToolCall]
    assert only(called, ToolCall).arguments == '{"place":"Bern"}'
    assert only(asked, ToolResult).content == '{"output":5}'
    assert only(done, Response).text == "5 degrees"
    assert [o.exchange for o in (*called, *asked, *done)] == [3, 3, 4, 4, 4]


def test_an_answer_to_what_was_heard_tells_its_transcript() -> None:
    socket = reader(PATH, HOST)
    sound = {"realtimeInput": {"audio": {"mimeType": "audio/pcm", "data": "A" * 4096}}}
    chunk = {"realtimeInput": {"mediaChunks": [{"data": "A" * 4096}], "text": "and this"}}
    assert told(socket, WRITE, SETUP, sound, chunk) == []
    heard = {"serverContent": {"inputTranscription": {"text": "hello"}}}
    assert told(socket, READ, heard) == []
    blob = {"inlineData": {"mimeType": "audio/pcm", "data": "A" * 400}}
    spoken = {"serverContent": {"modelTurn": {"parts": [blob]}}}
    began = told(socket, READ, spoken)
    interrupted = {"serverContent": {"interrupted": True}}
    done = told(
        socket,
        READ,
        {"serverContent": {"outputTranscription": {"text": "good day"}}},
        interrupted,
        DONE,
    )

    assert only(began, Prompt).messages == (
        ChatMessage(role="user", content="and this"),
        ChatMessage(role="user", content="[media, 6 KB]"),
    )
    response = only(done, Response)
    assert (response.text, response.finish_reason) == ("good day", "interrupted")


def test_a_session_that_only_listened_says_nothing_at_its_end() -> None:
    socket = reader(PATH, HOST)
    told(socket, WRITE, SETUP, {"realtimeInput": {"audio": {"data": "AAAA"}}})
    assert told(socket, READ, DONE, {"goAway": {"timeLeft": "1s"}}) == []
    assert socket.close(0) == []


@pytest.mark.parametrize("value", [7, None, "x", [], {}, [[]], {"parts": 7}, {"turns": [7]}])
@pytest.mark.parametrize(
    "key", ["setup", "clientContent", "toolResponse", "realtimeInput", "serverContent", "toolCall"]
)
def test_other_shapes_are_no_harm(key: str, value: object) -> None:
    socket = reader(PATH, HOST)
    told(socket, WRITE, {key: value})
    told(socket, READ, {key: value})
    socket.close(0)


def test_messages_are_known_by_themselves() -> None:
    setup = classify(as_json(SETUP), WRITE, HOST)
    said = classify(as_json(says("Hello")), READ, HOST)
    done = classify(as_json({"toolCall": {"functionCalls": [{"name": "f"}]}}), READ, HOST)
    other = classify(as_json({"setup": {"model": "T-1000"}}), WRITE, None)

    assert (setup.api, setup.model) == ("google.live", "gemini-live")
    assert (said.api, said.content_class) == ("google.live", "llm_stream")
    assert [type(action) for action in done.actions] == [Response, ToolCall]
    assert other.api is None
