"""Amazon Bedrock: its own dialect, converse, and the models that have one of their own.

The path names the model, see `routes`. Invoke takes the body that the model's maker defined;
those of Anthropic, Cohere and all who do as OpenAI are read by their modules, Nova's is that
of converse, and what is left (Titan, Llama, Mistral, DeepSeek) asks for one text and gives
one. An event of a stream is told as an object with its name as the only key, which is how
Nova writes it (see `event_framing`).
Left out: guardrail traces, and documents and videos themselves.
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
.../API_runtime_ConverseStream.html and .../bedrock/latest/userguide/model-parameters.html
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from busted.classifier import anthropic
from busted.classifier.assembly import MAX_ERROR_CHARS, Answer, error_of
from busted.classifier.chat import (
    MAX_MESSAGES,
    MAX_NAME_CHARS,
    MAX_TEXT_CHARS,
    MAX_TOOLS,
    ModelRequest,
    described,
    encoded_size,
    is_conversation,
    last_user_text,
    params_of,
    text_of,
)
from busted.classifier.foreign import integer, items, mapping, string, to_json
from busted.events import ChatMessage, ToolResult, Usage
from busted.protocols import partial_json

Body = Mapping[str, object]

_EVENTS = (
    "messageStart",
    "contentBlockStart",
    "contentBlockDelta",
    "contentBlockStop",
    "messageStop",
    "metadata",
)
_MEDIA = ("image", "document", "video", "audio")


# Converse


def is_request(body: Body) -> bool:
    """Tell whether a body sent to this dialect's path, at an unknown host, is a conversation."""
    return is_conversation(body.get("messages"))


def is_distinct_request(body: Body) -> bool:
    """Tell a request of any path: its parts have no type, and its settings names of their own."""
    return is_request(body) and not body.keys().isdisjoint(
        ("inferenceConfig", "toolConfig", "additionalModelRequestFields", "schemaVersion")
    )


def read_request(body: Body) -> ModelRequest:
    """Return what a request says."""
    turns = items(body.get("messages"))
    messages = tuple(m for turn in turns[-MAX_MESSAGES:] for m in _messages(mapping(turn)))
    system = map(mapping, items(body.get("system")))
    config = mapping(body.get("inferenceConfig"))
    params = {
        "temperature": config.get("temperature"),
        "top_p": config.get("topP"),
        "top_k": config.get("topK"),
        "max_tokens": config.get("maxTokens"),
    }
    return ModelRequest(
        model=string(body.get("model"), MAX_NAME_CHARS),
        messages=messages[-MAX_MESSAGES:],
        system_prompt="\n".join(filter(None, map(_block, system))) or None,
        user_message=last_user_text(messages),
        tools=_tools(mapping(body.get("toolConfig"))),
        params=params_of(params),
        results=_last_results(turns),
        truncated=len(turns) > MAX_MESSAGES or len(messages) > MAX_MESSAGES,
    )


def is_answer(body: Body) -> bool:
    """Tell whether a body or stream event of unknown origin is of converse."""
    if isinstance(mapping(mapping(body.get("output")).get("message")).get("content"), list):
        return isinstance(body.get("stopReason"), str)
    name = next(iter(body), None)
    # "metadata" alone may be anyone's.
    return len(body) == 1 and name in _EVENTS[:-1] and isinstance(body[name], dict)


def read_answer(answer: Answer, body: Body) -> None:
    """Read an answer that came whole."""
    _error(answer, body)
    answer.finish_reason = string(body.get("stopReason"), MAX_NAME_CHARS)
    answer.usage = _usage(body)
    message = mapping(mapping(body.get("output")).get("message"))
    for index, block in enumerate(map(mapping, items(message.get("content")))):
        answer.say(block.get("text"))
        answer.think(_thought(block))
        if used := mapping(block.get("toolUse")):
            answer.call(index, used.get("toolUseId"), used.get("name"))
            answer.argue(index, to_json(mapping(used.get("input")), MAX_TEXT_CHARS)[0])
    answer.finished = True


def read_event(answer: Answer, data: str, body: Body) -> None:
    """Read one event of a streamed answer; the last one is `metadata`, with the usage."""
    _error(answer, body)
    start = mapping(body.get("contentBlockStart"))
    if used := mapping(mapping(start.get("start")).get("toolUse")):
        answer.call(_index(start), used.get("toolUseId"), used.get("name"))
    block = mapping(body.get("contentBlockDelta"))
    delta = mapping(block.get("delta"))
    answer.say(delta.get("text"))
    answer.think(_thought(delta))
    if used := mapping(delta.get("toolUse")):
        answer.argue(_index(block), used.get("input"))
    reason = string(mapping(body.get("messageStop")).get("stopReason"), MAX_NAME_CHARS)
    answer.finish_reason = reason or answer.finish_reason
    answer.usage = _usage(mapping(body.get("metadata"))) or answer.usage
    answer.finished = "metadata" in body or answer.error is not None


def _index(block: Body) -> int:
    return integer(block.get("contentBlockIndex")) or 0


def _thought(block: Body) -> object:
    """Return the reasoning of a block, where the text is one level deeper, or of a delta."""
    thought = mapping(block.get("reasoningContent"))
    return mapping(thought.get("reasoningText")).get("text") or thought.get("text")


def _usage(told: Body) -> Usage | None:
    usage = mapping(told.get("usage"))
    if not usage:
        return None
    cached = integer(usage.get("cacheReadInputTokens"))
    written = integer(usage.get("cacheWriteInputTokens"))
    read = integer(usage.get("inputTokens"))
    # inputTokens does not contain the other two; here `input` is the total, as `Usage` says.
    return Usage(
        input=None if read is None else read + (cached or 0) + (written or 0),
        output=integer(usage.get("outputTokens")),
        cached=cached,
        cache_written=written,
    )


def _error(answer: Answer, body: Body) -> None:
    # {"message": "..."} is all that a refusal has in its body.
    message = string(body.get("message"), MAX_ERROR_CHARS) if len(body) == 1 else None
    answer.error = answer.error or error_of(body) or message


def _tools(config: Body) -> tuple[str, ...]:
    tools = [mapping(mapping(t).get("toolSpec")) for t in items(config.get("tools"))[:MAX_TOOLS]]
    return tuple(name for tool in tools if (name := string(tool.get("name"), MAX_NAME_CHARS)))


def _messages(turn: Body) -> Iterator[ChatMessage]:
    """Yield a turn's tool results, each as a turn of its own, then what it says."""
    role = string(turn.get("role"), MAX_NAME_CHARS) or "unknown"
    said: list[str] = []
    for block in map(mapping, items(turn.get("content"))):
        if result := mapping(block.get("toolResult")):
            yield ChatMessage(role="tool", content=_result_text(result))
        else:
            said.append(_block(block))
    if any(said):
        yield ChatMessage(role=role, content="\n".join(filter(None, said)))


def _block(block: Body) -> str:
    """Return the text of a block; what is not text is described."""
    if isinstance(text := block.get("text"), str):
        return text
    if used := mapping(block.get("toolUse")):
        return f"[tool call: {str(used.get('name'))[:MAX_NAME_CHARS]}]"
    for kind in _MEDIA:
        if media := mapping(block.get(kind)):
            # {"image": {"format": "png", "source": {"bytes": Base64}}}
            data = string(mapping(media.get("source")).get("bytes"))
            name = f"{kind}/{string(media.get('format')) or 'unknown'}"
            return described(name, encoded_size(data) if data else None)
    return text_of(mapping(block.get("guardContent")).get("text"))


def _result_text(result: Body) -> str:
    said = []
    for block in map(mapping, items(result.get("content"))):
        if "json" in block:
            said.append(to_json(block["json"], MAX_TEXT_CHARS)[0])
        else:
            said.append(_block(block))
    return "\n".join(filter(None, said))


def _last_results(turns: Sequence[object]) -> tuple[ToolResult, ...]:
    results: list[Body] = []
    names: dict[object, str | None] = {}
    for turn in map(mapping, reversed(turns)):
        blocks = [mapping(block) for block in items(turn.get("content"))]
        if turn.get("role") == "assistant":
            used = [mapping(block.get("toolUse")) for block in blocks]
            names = {
                string(u.get("toolUseId")): string(u.get("name"), MAX_NAME_CHARS) for u in used
            }
            break
        results += (r for block in reversed(blocks) if (r := mapping(block.get("toolResult"))))
    return tuple(
        ToolResult(
            id=string(result.get("toolUseId"), MAX_NAME_CHARS),
            name=names.get(string(result.get("toolUseId"))),
            content=_result_text(result),
            is_error=result.get("status") == "error",
            truncated=False,
        )
        for result in reversed(results)
    )


# Counting tokens: {"input": {"converse": {...}}} or {"input": {"invokeModel": {"body": Base64}}}


def is_count_request(body: Body) -> bool:
    """Tell whether a body sent to count tokens, at an unknown host, is such a request."""
    return not mapping(body.get("input")).keys().isdisjoint(("converse", "invokeModel"))


def read_count_request(body: Body) -> ModelRequest:
    """Return what a request to count says; its results are told when they are really sent."""
    given = mapping(body.get("input"))
    wrapped = _invoked(string(mapping(given.get("invokeModel")).get("body")) or "")
    model = {"model": body.get("model")}
    if is_conversation(wrapped.get("messages")) and not is_distinct_request(wrapped):
        asked = anthropic.read_request({**wrapped, **model})
    elif wrapped and not is_request(wrapped):
        asked = read_text_request({**wrapped, **model})
    else:
        asked = read_request({**(wrapped or mapping(given.get("converse"))), **model})
    return msgspec.structs.replace(asked, results=())


def read_count(answer: Answer, body: Body) -> None:
    """Read how many tokens a request would have: {"inputTokens": 7}."""
    _error(answer, body)
    answer.usage = _usage({"usage": body}) if "inputTokens" in body else None
    answer.finished = True


def _invoked(body: str) -> Body:
    try:
        return mapping(partial_json.parse(base64.b64decode(body)).value)
    except ValueError:  # cut, or no Base64 at all
        return {}


# Models that give one text for another

# Titan: inputText; Llama, Mistral, DeepSeek: prompt.
_ASKED = ("prompt", "inputText")
# Llama: generation; Titan in a stream: outputText.
_SAID = ("generation", "outputText")
# Mistral: outputs[].text; Titan: results[].outputText; DeepSeek: choices[].text.
_LISTS = ("outputs", "results", "choices")
# stop_reason: Llama, Mistral, DeepSeek; completionReason: Titan.
_REASONS = ("stop_reason", "completionReason", "finish_reason")
# Llama; Titan; and what Bedrock adds to the last event of every stream.
_COUNTED_IN = ("prompt_token_count", "inputTextTokenCount", "inputTokenCount")
_COUNTED_OUT = (
    "generation_token_count",
    "tokenCount",
    "totalOutputTextTokenCount",
    "outputTokenCount",
)
_METRICS = "amazon-bedrock-invocationMetrics"


def is_text_request(body: Body) -> bool:
    """Tell whether a body sent to invoke, at an unknown host, asks a model for a text."""
    return any(isinstance(body.get(key), str) for key in _ASKED)


def read_text_request(body: Body) -> ModelRequest:
    """Return what a request that consists of one text says."""
    config = mapping(body.get("textGenerationConfig")) or body
    limit = (config.get(key) for key in ("max_tokens", "max_gen_len", "maxTokenCount"))
    asked = string(next(filter(None, map(body.get, _ASKED)), None))
    return ModelRequest(
        model=string(body.get("model"), MAX_NAME_CHARS),
        user_message=asked and asked[:MAX_TEXT_CHARS],
        params=params_of(
            {
                "temperature": config.get("temperature"),
                "top_p": config.get("top_p", config.get("topP")),
                "max_tokens": next(filter(None, limit), None),
            }
        ),
        truncated=len(asked or "") > MAX_TEXT_CHARS,
    )


def read_text_answer(answer: Answer, body: Body) -> None:
    """Read an answer that came whole."""
    _read_text(answer, body)
    answer.finished = True


def read_text_event(answer: Answer, data: str, body: Body) -> None:
    """Read one event of a streamed answer; the last one has Bedrock's metrics."""
    _read_text(answer, body)
    answer.finished = _METRICS in body or answer.error is not None


def _read_text(answer: Answer, body: Body) -> None:
    _error(answer, body)
    told: Body = body
    for one in _LISTS:
        if found := items(body.get(one)):
            told = mapping(found[0])
    for key in (*_SAID, "text"):
        answer.say(told.get(key))
    reason = next(filter(None, (string(told.get(k), MAX_NAME_CHARS) for k in _REASONS)), None)
    answer.finish_reason = reason or answer.finish_reason
    metrics = mapping(body.get(_METRICS))
    read, written = _count(_COUNTED_IN, metrics, body), _count(_COUNTED_OUT, metrics, told)
    known = answer.usage or Usage()
    if read is not None or written is not None:
        answer.usage = Usage(
            input=known.input if read is None else read,
            output=known.output if written is None else written,
        )


def _count(names: Sequence[str], *places: Body) -> int | None:
    found = (integer(place.get(name)) for place in places for name in names)
    return next((count for count in found if count is not None), None)
