import pytest

from busted.classifier import dialects
from busted.classifier.providers_table import PROVIDERS
from tests.unit.classifier.wire import CHAT, COMPLETION, MESSAGES


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/v1/chat/completions", "openai.chat"),
        ("/v1/chat/completions/", "openai.chat"),
        ("/openai/deployments/d/chat/completions", "openai.chat"),
        ("/api/paas/v4/chat/completions", "openai.chat"),
        ("/v1/messages", "anthropic.messages"),
        ("/anthropic/v1/messages", "anthropic.messages"),
        ("/v1/completions", "openai.completions"),
        ("/v1/embeddings", "openai.embeddings"),
        ("/backend-api/codex/responses", "openai.responses"),
        ("/v1/messages/count_tokens", "anthropic.messages.count_tokens"),
        ("/api/chat", "ollama.chat"),
        ("/api/embeddings", "ollama.embed"),
        ("/api/generate", "ollama.generate"),
        ("/v2/chat", "cohere.chat"),
        ("/v1/rerank", "cohere.rerank"),
        ("/v1beta/models/g:generateContent", "google.generate_content"),
        ("/v1beta/openai/chat/completions", "openai.chat"),
        ("/v1/projects/p/locations/l/endpoints/openapi/chat/completions", "openai.chat"),
        ("/model/m/converse", "bedrock.converse"),
        ("/v1/models", None),
        ("/api/v1/messages2", None),
        ("/", None),
    ],
)
def test_the_end_of_a_path_names_the_dialect(path: str, api: str | None) -> None:
    found = dialects.by_path(path)

    assert (found.api if found else None) == api


def test_each_providers_default_dialect_is_in_the_table() -> None:
    assert all(dialects.by_name(row.api) for row in PROVIDERS if row.api)


def test_names_of_dialects_are_distinct() -> None:
    names = [row.api for row in dialects.DIALECTS]

    assert len(names) == len(set(names))


def test_bodies_show_their_dialect() -> None:
    def api(found: dialects.Dialect | None) -> str | None:
        return found.api if found else None

    assert api(dialects.by_request(CHAT)) == "openai.chat"
    assert api(dialects.by_request({**MESSAGES, "system": "x"})) == "anthropic.messages"
    assert api(dialects.by_request({"model": "m", "input": "x"})) is None
    assert api(dialects.by_answer(COMPLETION)) == "openai.chat"
    assert api(dialects.by_answer({"type": "message_stop"})) == "anthropic.messages"
    assert api(dialects.by_answer({"choices": [], "results": 1})) is None
