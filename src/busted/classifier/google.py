"""Google's generateContent: Gemini's API, Vertex AI, and Code Assist, which wraps its bodies.

The path names the model and whether the answer is streamed, see `routes`. The function
results of a user turn are told as turns of the role `tool`, as in every other dialect.
Left out: arguments of a function call that are streamed one by one (Vertex only, on request),
and answers after the first candidate.
Source: https://ai.google.dev/api/generate-content, .../api/tokens, .../api/embeddings;
Code Assist: the `request` and `response` of gemini-cli's code_assist/converter.ts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from busted.classifier.assembly import MAX_ERROR_CHARS, Answer, error_of
from busted.classifier.chat import (
    MAX_MESSAGES,
    MAX_NAME_CHARS,
    MAX_TEXT_CHARS,
    MAX_TOOLS,
    ModelRequest,
    described,
    encoded_size,
    last_user_text,
    params_of,
)
from busted.classifier.foreign import integer, items, mapping, string, to_json
from busted.events import ChatMessage, ToolResult, Usage

Body = Mapping[str, object]

# What `PARAMS` calls them, as generationConfig spells them.
_PARAMS = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "max_output_tokens": "maxOutputTokens",
    "n": "candidateCount",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "response_format": "responseMimeType",
}
_PARTS = (
    "text",
    "inlineData",
    "inline_data",
    "fileData",
    "file_data",
    "functionCall",
    "function_call",
    "functionResponse",
    "function_response",
    "executableCode",
    "codeExecutionResult",
)


def is_request(body: Body) -> bool:
    """Tell whether a body asks to generate content, or to count its tokens."""
    contents = items(_asked(body).get("contents"))
    # The last turn may be cut short, since bodies are.
    return bool(contents) and all(
        _is_turn(turn) or place == len(contents) - 1 > 0 for place, turn in enumerate(contents)
    )


def _is_turn(turn: object) -> bool:
    parts = items(mapping(turn).get("parts"))
    return bool(parts) and not mapping(parts[0]).keys().isdisjoint(_PARTS)


def read_request(body: Body) -> ModelRequest:
    """Return what a request says."""
    asked = _asked(body)
    contents = items(asked.get("contents"))
    messages = tuple(m for turn in contents[-MAX_MESSAGES:] for m in _messages(mapping(turn)))
    system = asked.get("systemInstruction") or asked.get("system_instruction")
    config = mapping(asked.get("generationConfig") or asked.get("generation_config"))
    return ModelRequest(
        model=_model(body) or _model(asked),
        messages=messages[-MAX_MESSAGES:],
        system_prompt=_text(mapping(system)) or None,
        user_message=last_user_text(messages),
        tools=_tools(asked),
        params=params_of({ours: config.get(theirs) for ours, theirs in _PARAMS.items()}),
        results=_last_results(contents),
        truncated=len(contents) > MAX_MESSAGES or len(messages) > MAX_MESSAGES,
    )


def is_embedding_request(body: Body) -> bool:
    """Tell whether a body asks to embed one content or several."""
    return bool(_embedded(body))


def read_embedding_request(body: Body) -> ModelRequest:
    """Return what a request for embeddings says: its texts are the prompt."""
    asked = _embedded(body)
    text = "\n".join(filter(None, (_text(mapping(one.get("content"))) for one in asked)))
    return ModelRequest(
        model=_model(asked[0]) if asked else None,
        user_message=text[:MAX_TEXT_CHARS] or None,
        params=params_of({"dimensions": body.get("outputDimensionality")}),
        truncated=len(text) > MAX_TEXT_CHARS,
    )


def _embedded(body: Body) -> list[Body]:
    asked = [mapping(one) for one in items(body.get("requests"))] or [body]
    return [one for one in asked if "parts" in mapping(one.get("content"))]


def is_answer(body: Body) -> bool:
    """Tell whether a body or stream event of unknown origin is generated content."""
    told = _told(body)
    candidates = items(told.get("candidates"))
    if candidates:
        first = mapping(candidates[0])
        return "parts" in mapping(first.get("content")) or (
            isinstance(first.get("finishReason"), str) and "usageMetadata" in told
        )
    return isinstance(mapping(told.get("promptFeedback")).get("blockReason"), str)


def read_answer(answer: Answer, body: Body) -> None:
    """Read an answer that came whole."""
    _read(answer, body)
    answer.finished = True


def read_event(answer: Answer, data: str, body: Body) -> None:
    """Read one event of a streamed answer."""
    # No event ends it: models before 2.0 gave a finishReason in each, and the usage comes in
    # all of them. Clients read to the end of the body.
    _read(answer, body)


def _read(answer: Answer, body: Body) -> None:
    told = _told(body)
    answer.model = answer.model or string(told.get("modelVersion"), MAX_NAME_CHARS)
    answer.error = answer.error or error_of(told)
    answer.usage = usage_of(told) or answer.usage
    feedback = mapping(told.get("promptFeedback"))
    if blocked := string(feedback.get("blockReason"), MAX_NAME_CHARS):
        answer.finish_reason = blocked
        answer.error = answer.error or string(feedback.get("blockReasonMessage"), MAX_ERROR_CHARS)
    for candidate in map(mapping, items(told.get("candidates"))):
        if candidate.get("index", 0) != 0:
            continue
        reason = string(candidate.get("finishReason"), MAX_NAME_CHARS)
        answer.finish_reason = reason or answer.finish_reason
        for part in parts_of(mapping(candidate.get("content"))):
            say(answer, part)


def say(answer: Answer, part: Body) -> None:
    """Read one part of what the model says."""
    call = mapping(part.get("functionCall"))
    if name := string(call.get("name"), MAX_NAME_CHARS):
        index = answer.call_count
        answer.call(index, call.get("id"), name)
        answer.argue(index, to_json(mapping(call.get("args")), MAX_TEXT_CHARS)[0])
    elif part.get("thought") is True:
        answer.think(part.get("text"))
    else:
        answer.say(_part(part))


def usage_of(told: Body) -> Usage | None:
    """Return the tokens that an answer counts."""
    usage = mapping(told.get("usageMetadata"))
    if not usage:
        total = integer(told.get("totalTokens"))  # countTokens
        cached = integer(told.get("cachedContentTokenCount"))
        return None if total is None else Usage(input=total, cached=cached)
    thoughts = integer(usage.get("thoughtsTokenCount"))
    # "Total token count for the generation request (prompt + thoughts + response candidates)":
    # the counts do not contain one another, as those of `Usage` do.
    return Usage(
        input=_sum(usage.get("promptTokenCount"), usage.get("toolUsePromptTokenCount")),
        # Live sessions call it `responseTokenCount`.
        output=_sum(usage.get("candidatesTokenCount", usage.get("responseTokenCount")), thoughts),
        cached=integer(usage.get("cachedContentTokenCount")),
        reasoning=thoughts,
    )


def _sum(*counts: object) -> int | None:
    known = [count for count in map(integer, counts) if count is not None]
    return sum(known) if known else None


def _asked(body: Body) -> Body:
    """Return the request proper: Code Assist and countTokens may wrap it."""
    return mapping(body.get("request")) or mapping(body.get("generateContentRequest")) or body


def _told(body: Body) -> Body:
    """Return the answer proper, which Code Assist wraps."""
    return mapping(body.get("response")) or body


def _model(body: Body) -> str | None:
    model = string(body.get("model"), MAX_NAME_CHARS)
    return model.rpartition("models/")[2] or None if model else None


def parts_of(content: Body) -> Iterator[Body]:
    """Yield the parts of a turn."""
    return map(mapping, items(content.get("parts")))


def _text(content: Body) -> str:
    return "\n".join(filter(None, map(_part, parts_of(content))))


def _part(part: Body) -> str:
    """Return the text of a part; what is not text is described."""
    if isinstance(text := part.get("text"), str):
        return "" if part.get("thought") is True else text
    inline = mapping(part.get("inlineData") or part.get("inline_data"))
    if inline:
        size = encoded_size(string(inline.get("data")) or "")
        return described(_media_type(inline), size)
    file = mapping(part.get("fileData") or part.get("file_data"))
    if file:
        return described(_media_type(file))
    if call := mapping(part.get("functionCall") or part.get("function_call")):
        return f"[tool call: {str(call.get('name'))[:MAX_NAME_CHARS]}]"
    ran = mapping(part.get("executableCode")) or mapping(part.get("codeExecutionResult"))
    return string(ran.get("code")) or string(ran.get("output")) or ""


def _media_type(data: Body) -> str:
    return string(data.get("mimeType")) or string(data.get("mime_type")) or "file"


def _function_response(part: Body) -> Body:
    return mapping(part.get("functionResponse") or part.get("function_response"))


def _messages(turn: Body) -> Iterator[ChatMessage]:
    """Yield a turn's function results, each as a turn of its own, then what it says."""
    said: list[str] = []
    for part in parts_of(turn):
        if result := _function_response(part):
            yield ChatMessage(role="tool", content=_result_text(result))
        else:
            said.append(_part(part))
    if any(said):
        # "Useful to set for multi-turn conversations, otherwise can be left blank or unset."
        role = string(turn.get("role"), MAX_NAME_CHARS) or "user"
        yield ChatMessage(role=role, content="\n".join(filter(None, said)))


def _result_text(result: Body) -> str:
    return to_json(mapping(result.get("response")), MAX_TEXT_CHARS)[0]


def _last_results(contents: Sequence[object]) -> tuple[ToolResult, ...]:
    results: list[Body] = []
    for turn in map(mapping, reversed(contents)):
        if turn.get("role") == "model":
            break
        parts = tuple(parts_of(turn))
        results += (found for part in reversed(parts) if (found := _function_response(part)))
    return tuple(
        ToolResult(
            id=string(result.get("id"), MAX_NAME_CHARS),
            name=string(result.get("name"), MAX_NAME_CHARS),
            content=_result_text(result),
            # "use 'output' key to specify function output and 'error' key to specify error"
            is_error="error" in mapping(result.get("response")),
            truncated=False,
        )
        for result in reversed(results)
    )


def _tools(asked: Body) -> tuple[str, ...]:
    """Return the names of the functions offered; of Google's own tools, what they are."""
    names: list[str] = []
    for tool in map(mapping, items(asked.get("tools"))):
        functions = tool.get("functionDeclarations") or tool.get("function_declarations")
        if functions is None:
            names += (key[:MAX_NAME_CHARS] for key in tool)
        for function in map(mapping, items(functions)):
            if name := string(function.get("name"), MAX_NAME_CHARS):
                names.append(name)
    return tuple(names[:MAX_TOOLS])
