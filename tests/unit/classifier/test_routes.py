import pytest

from busted.classifier import dialects, routes
from busted.classifier.routes import Fetch, Route, in_query

VERTEX = "/v1/projects/p/locations/us-east5/publishers"
CLAUDE = "us.anthropic.claude-sonnet-4-20250514-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:inference-profile%2Fus.anthropic.claude-x"


@pytest.mark.parametrize(
    ("path", "route"),
    [
        (
            "/v1beta/models/gemini-2.5-flash:generateContent",
            Route("google.generate_content", "gemini-2.5-flash"),
        ),
        (
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
            Route("google.generate_content", "gemini-2.5-flash", stream=True),
        ),
        (
            "/v1beta/tunedModels/my-model-1:generateContent",
            Route("google.generate_content", "my-model-1"),
        ),
        ("/v1beta/models/g:countTokens", Route("google.count_tokens", "g")),
        ("/v1beta/models/e:embedContent", Route("google.embed_content", "e")),
        ("/v1beta/models/e:batchEmbedContents", Route("google.embed_content", "e")),
        (
            f"{VERTEX}/google/models/gemini-3-pro:generateContent",
            Route("google.generate_content", "gemini-3-pro"),
        ),
        (
            "/v1/projects/p/locations/l/endpoints/77:streamGenerateContent",
            Route("google.generate_content", "77", stream=True),
        ),
        (
            f"{VERTEX}/anthropic/models/claude-sonnet-4@20250514:rawPredict",
            Route("anthropic.messages", "claude-sonnet-4@20250514"),
        ),
        (
            f"{VERTEX}/anthropic/models/claude-sonnet-4%4020250514:streamRawPredict",
            Route("anthropic.messages", "claude-sonnet-4@20250514", stream=True),
        ),
        (
            f"{VERTEX}/anthropic/models/count-tokens:rawPredict",
            Route("anthropic.messages.count_tokens"),
        ),
        (
            f"{VERTEX}/mistralai/models/mistral-large:rawPredict",
            Route("openai.chat", "mistral-large"),
        ),
        (f"{VERTEX}/google/models/imagen-4:predict", Route("google.predict", "imagen-4")),
        ("/v1/projects/p/locations/l/endpoints/77:rawPredict", None),
        ("/v1internal:generateContent", Route("google.generate_content")),
        (
            "/v1internal:streamGenerateContent",
            Route("google.generate_content", stream=True),
        ),
        ("/v1internal:countTokens", Route("google.count_tokens")),
        ("/v1internal:loadCodeAssist", None),
        (f"/model/{CLAUDE}/invoke", Route("anthropic.messages", CLAUDE)),
        (
            "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke-with-response-stream",
            Route("anthropic.messages", "anthropic.claude-3-haiku-20240307-v1:0", stream=True),
        ),
        (f"/model/{PROFILE}/invoke", Route("anthropic.messages", "us.anthropic.claude-x")),
        (f"/model/{CLAUDE}/converse", Route("bedrock.converse", CLAUDE)),
        (f"/model/{CLAUDE}/converse-stream", Route("bedrock.converse", CLAUDE, stream=True)),
        ("/model/amazon.nova-lite-v1:0/invoke", Route("bedrock.converse", "amazon.nova-lite-v1:0")),
        ("/model/cohere.command-r-v1:0/invoke", Route("cohere.chat", "cohere.command-r-v1:0")),
        ("/model/meta.llama3-8b-v1:0/invoke", Route("bedrock.invoke", "meta.llama3-8b-v1:0")),
        ("/model/x/invoke/more", None),
        ("/model//invoke", None),
        ("/v1/projects/p/locations/l/endpoints/7:predict", None),
        (f"/model/{CLAUDE}/count-tokens", Route("bedrock.count_tokens", CLAUDE)),
        ("/models/x:generateContentOrNot", None),
        ("/openai/deployments/gpt-4o/chat/completions", Route(None, "gpt-4o")),
        ("/v1/engines/copilot-codex/completions", Route(None, "copilot-codex")),
        ("/v1/chat/completions", None),
        ("", None),
    ],
)
def test_a_path_tells_dialect_model_and_stream(path: str, route: Route | None) -> None:
    assert routes.find(path) == route


def test_every_route_leads_to_a_dialect() -> None:
    named = [api for api, _ in routes._GOOGLE_VERBS.values()]
    named += [api for _, api in routes._FAMILIES]
    named += [api for api in routes._PUBLISHERS.values() if api]

    assert [api for api in named if dialects.by_name(api) is None] == []


@pytest.mark.parametrize(
    ("body", "api"),
    [
        (
            {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 9,
                "messages": [{"role": "user", "content": "hi"}],
            },
            "anthropic.messages",
        ),
        (
            {"inferenceConfig": {}, "messages": [{"role": "user", "content": [{"text": "hi"}]}]},
            "bedrock.converse",
        ),
        ({"messages": [{"role": "user", "content": "hi"}]}, "openai.chat"),
        ({"prompt": "hi"}, "bedrock.invoke"),
        ({}, "bedrock.invoke"),
    ],
)
def test_where_the_model_has_a_name_of_its_owner_the_body_tells_the_dialect(
    body: dict[str, object], api: str
) -> None:
    path = "/model/application-inference-profile%2Fabc123/invoke"
    dialect = dialects.of_request(path, {"model": "abc123", **body})

    assert dialect is not None
    assert dialect.api == api


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("/v1/realtime?model=gpt-realtime", "gpt-realtime"),
        ("/openai/realtime?api-version=1&deployment=my%20own#x", "my own"),
        ("/v1/realtime?call_id=model", None),
        ("/v1/realtime?remodel=x", None),
        ("/v1/model=x", None),
        ("/v1/realtime?model=", None),
    ],
)
def test_a_query_may_name_the_model(target: str, model: str | None) -> None:
    assert in_query(target) == model


@pytest.mark.parametrize(
    ("path", "fetched"),
    [
        ("/v1/responses/resp_1", Fetch("openai.responses")),
        ("/openai/v1/responses/resp-1", Fetch("openai.responses")),
        ("/v1/chat/completions/chatcmpl-1", Fetch("openai.chat")),
        ("/v1/messages/batches/msgbatch_1/results", Fetch()),
        ("/v1/files/file-1/content", Fetch()),
        ("/v1/responses", None),
        ("/v1/responses/r/cancel", None),
        ("/v1/files", None),
        ("/v1/containers/c/files/f/content/x", None),
        ("", None),
    ],
)
def test_a_path_tells_what_is_fetched(path: str, fetched: Fetch | None) -> None:
    assert routes.fetched(path) == fetched
