"""Files and batches: work that is handed in and fetched later. What is done is named, no more.

Left out: the lines of a file for a batch, each of which is a request. What comes of them, once it
is fetched, `batch_results` reads.
Source: https://platform.openai.com/docs/api-reference/files and .../batch
"""

from __future__ import annotations

from collections.abc import Mapping

from busted.classifier.assembly import Answer, error_of
from busted.classifier.chat import MAX_NAME_CHARS, ModelRequest, described, params_of, text_of
from busted.classifier.foreign import string

Body = Mapping[str, object]


def is_batch_request(body: Body) -> bool:
    """Tell whether a body sent to the path of batches, at an unknown host, begins one."""
    return all(isinstance(body.get(key), str) for key in ("input_file_id", "completion_window"))


def is_file_request(body: Body) -> bool:
    """Tell whether a form sent to the path of files, at an unknown host, is for a model's use."""
    return "file" in body and body.get("purpose") in ("batch", "fine-tune", "assistants", "evals")


def read_request(body: Body) -> ModelRequest:
    """Return what a request says: which file, and what for."""
    return ModelRequest(
        model=string(body.get("model"), MAX_NAME_CHARS),
        user_message=text_of(body.get("file") or body.get("input_file_id")) or None,
        params=params_of(body),
    )


def read_answer(answer: Answer, body: Body) -> None:
    """Read an answer: which batch or file there is now, and how it stands."""
    answer.error = error_of(body)
    # Anthropic says `type` and `processing_status` where OpenAI says `object` and `status`.
    told = (body.get("object") or body.get("type"), body.get("id"))
    status = body.get("status") or body.get("processing_status")
    if answer.error is None and (named := " ".join(filter(None, map(string, told)))):
        answer.say(described(", ".join(filter(None, (named, string(status))))))
    answer.finish_reason = string(status, MAX_NAME_CHARS)
    answer.finished = True


def read_event(answer: Answer, data: str, body: Body) -> None:
    """Read an event where none is expected: at most it tells an error."""
    answer.error = answer.error or error_of(body)
