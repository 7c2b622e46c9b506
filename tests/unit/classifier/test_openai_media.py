import pytest

from busted.classifier import openai_media as media
from busted.classifier.assembly import Answer
from busted.events import Usage


def streamed(*events: dict[str, object]) -> Answer:
    answer = Answer()
    for event in events:
        media.read_event(answer, "{...}", event)
    return answer


def test_what_is_to_be_painted_is_told() -> None:
    asked = media.read_request(
        {"model": "gpt-image-1", "prompt": "an otter", "n": 2, "size": "1024x1024"}
    )

    assert (asked.model, asked.user_message) == ("gpt-image-1", "an otter")
    assert asked.params == {"n": 2, "size": "1024x1024"}


def test_what_is_to_be_spoken_is_told() -> None:
    asked = media.read_request(
        {
            "model": "gpt-4o-mini-tts",
            "input": "Hello",
            "voice": "coral",
            "instructions": "cheerful",
            "stream_format": "sse",
        }
    )

    assert (asked.user_message, asked.system_prompt, asked.stream) == ("Hello", "cheerful", True)
    assert asked.params == {"voice": "coral"}


def test_images_are_described_and_what_was_asked_of_the_painter_told() -> None:
    answer = Answer()
    media.read_answer(
        answer,
        {
            "created": 1,
            "data": [
                {"b64_json": "A" * 4096, "revised_prompt": "A sea otter"},
                {"url": "https://a.example/1.png?sig=x"},
            ],
            "usage": {
                "input_tokens": 50,
                "output_tokens": 4160,
                "input_tokens_details": {"text_tokens": 50, "image_tokens": 0},
            },
        },
    )

    assert answer.text == "A sea otter\n[image, 3 KB]\n[image]"
    assert answer.usage == Usage(input=50, output=4160)


def test_a_transcript_is_what_was_said() -> None:
    answer = Answer()
    media.read_answer(
        answer,
        {
            "text": "Hello there",
            "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 3},
        },
    )

    assert (answer.text, answer.usage) == ("Hello there", Usage(input=14, output=3))


@pytest.mark.parametrize(
    ("media_type", "data", "told"),
    [
        ("text/plain", b"Hello there\n", "Hello there\n"),
        ("text/vtt", b"WEBVTT\n\n", "WEBVTT\n\n"),
        ("audio/mpeg", b"ID3\xff", "[audio/mpeg, 34 KB]"),
        ("", b"\0", "[unknown, 34 KB]"),
    ],
)
def test_text_is_told_and_sound_described(media_type: str, data: bytes, told: str) -> None:
    answer = Answer()
    media.read_bytes(answer, media_type, data, 35_000)

    assert (answer.text, answer.finished) == (told, True)


def test_a_transcript_comes_in_pieces() -> None:
    pieces: list[dict[str, object]] = [
        {"type": "transcript.text.delta", "delta": "Hello"},
        {"type": "transcript.text.delta", "delta": " there"},
    ]
    end: dict[str, object] = {
        "type": "transcript.text.done",
        "text": "Hello there",
        "usage": {"input_tokens": 14, "output_tokens": 3},
    }

    assert not streamed(*pieces).finished
    assert streamed(*pieces, end).text == streamed(end).text == "Hello there"
    assert streamed(*pieces, end).usage == Usage(input=14, output=3)


def test_an_image_comes_after_its_sketches() -> None:
    answer = streamed(
        {"type": "image_generation.partial_image", "b64_json": "A" * 400},
        {"type": "image_generation.completed", "b64_json": "A" * 4096},
    )

    assert (answer.text, answer.finished) == ("[image, 3 KB]", True)


def test_speech_ends_with_its_usage() -> None:
    answer = streamed(
        {"type": "speech.audio.delta", "audio": "AAAA"},
        {"type": "speech.audio.done", "usage": {"input_tokens": 4, "output_tokens": 9}},
    )

    assert (answer.started, answer.finished) == (True, True)
    assert answer.usage == Usage(input=4, output=9)


@pytest.mark.parametrize(
    "body", [{}, {"data": 7, "text": []}, {"data": [None]}, {"usage": 7}, {"type": []}]
)
def test_a_strange_answer_is_survived(body: dict[str, object]) -> None:
    answer = streamed(body)
    media.read_answer(answer, body)

    assert answer.text in (None, "[image]")


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        ({"prompt": "x", "model": "m"}, "image"),
        ({"model": "m", "input": "x", "voice": "alloy"}, "speech"),
        ({"model": "m", "file": "[a.wav, 1 KB]"}, "transcription"),
        ({"prompt": "x"}, ""),
        ({"model": "m", "input": "x"}, ""),
        ({"model": [], "file": {}}, ""),
    ],
)
def test_a_request_at_an_unknown_host_must_look_the_part(
    body: dict[str, object], kinds: str
) -> None:
    judges = {
        "image": media.is_image_request,
        "speech": media.is_speech_request,
        "transcription": media.is_transcription_request,
    }

    assert " ".join(kind for kind, judge in judges.items() if judge(body)) == kinds
