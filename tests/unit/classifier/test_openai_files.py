import pytest

from busted.classifier import openai_files as files
from busted.classifier.assembly import Answer

BATCH = {"input_file_id": "file-1", "endpoint": "/v1/responses", "completion_window": "24h"}


def test_a_batch_names_its_file() -> None:
    asked = files.read_request(BATCH)

    assert asked.user_message == "file-1"
    assert asked.params == {"endpoint": "/v1/responses", "completion_window": "24h"}


def test_an_upload_names_its_file_and_purpose() -> None:
    asked = files.read_request({"purpose": "batch", "file": "[a.jsonl, 2 KB]"})

    assert (asked.user_message, asked.params) == ("[a.jsonl, 2 KB]", {"purpose": "batch"})


@pytest.mark.parametrize(
    ("body", "told", "reason"),
    [
        (
            {"id": "batch_1", "object": "batch", "status": "validating"},
            "[batch batch_1, validating]",
            "validating",
        ),
        (
            {"id": "msgbatch_1", "type": "message_batch", "processing_status": "in_progress"},
            "[message_batch msgbatch_1, in_progress]",
            "in_progress",
        ),
        ({"id": "file_1", "type": "file", "filename": "a.pdf"}, "[file file_1]", None),
        ({}, None, None),
        ({"id": [], "object": 7, "status": {}}, None, None),
    ],
)
def test_how_it_stands_is_told(
    body: dict[str, object], told: str | None, reason: str | None
) -> None:
    answer = Answer()
    files.read_answer(answer, body)

    assert (answer.text, answer.finish_reason, answer.finished) == (told, reason, True)


def test_an_error_is_only_that() -> None:
    answer = Answer()
    files.read_answer(answer, {"type": "error", "error": {"type": "not_found", "message": "no"}})

    assert (answer.text, answer.error) == (None, "not_found: no")


@pytest.mark.parametrize(
    ("body", "batch", "file"),
    [
        (BATCH, True, False),
        ({"purpose": "batch", "file": "[a, 1 B]"}, False, True),
        ({"purpose": "avatar", "file": "[a, 1 B]"}, False, False),
        ({"purpose": [], "file": "x"}, False, False),
        ({"input_file_id": "x"}, False, False),
    ],
)
def test_a_request_at_an_unknown_host_must_look_the_part(
    body: dict[str, object], batch: bool, file: bool
) -> None:
    assert (files.is_batch_request(body), files.is_file_request(body)) == (batch, file)
