import pytest
from msgspec import ValidationError, convert

from busted.classifier import Direction, classify
from busted.classifier.options import DEFAULT_OPTIONS
from busted.classifier.providers import Provider, Providers, host_name
from busted.classifier.providers_table import EDITORS, PROVIDERS
from tests.unit.classifier.wire import request

find = DEFAULT_OPTIONS.providers.find


def example(pattern: str) -> str:
    return pattern.replace("*", "some-name", 1)


HOSTS = [(row, example(pattern)) for row in PROVIDERS for pattern in row.hosts]
PATHS = [(row, path) for row in PROVIDERS for path in row.paths if row.hosts]
PORTS = [(row, port, path) for row in PROVIDERS for port in row.local_ports for path in row.paths]


def test_the_table_is_as_an_operator_would_have_to_write_it() -> None:
    for row in PROVIDERS:
        assert convert({f: getattr(row, f) for f in row.__struct_fields__}, Provider) == row
        assert bool(row.hosts) != bool(row.local_ports)
        assert row.paths or row.hosts
    assert len(PROVIDERS) >= 60


@pytest.mark.parametrize(("row", "host"), HOSTS, ids=[host for _, host in HOSTS])
def test_each_row_is_found_by_its_hosts_and_only_on_label_boundaries(
    row: Provider, host: str
) -> None:
    path = row.paths[0] if row.paths else "/v1/x"

    assert find(host, path) == row
    assert find(f"{host.upper()}.:443", path) == row
    assert find(f"{host}.evil.example") is None
    assert find(f"not{host}.evil.example") is None
    if not host.startswith("some-name"):
        assert find(f"not{host}") is None
    assert find(host.replace(".", "-")) is None


# Who is asked at which host, and where: a survey of November 2026, written down apart from the
# table that is to know them.
SURVEYED = {
    "openai": "api.openai.com/v1/chat/completions eu.api.openai.com/v1/responses "
    "us.api.openai.com/v1/embeddings chatgpt.com/backend-api/codex/responses",
    "azure.ai.openai": "mine.openai.azure.com/openai/deployments/d/chat/completions "
    "mine.cognitiveservices.azure.com/openai/v1/responses",
    "azure.ai.inference": "mine.services.ai.azure.com/anthropic/v1/messages "
    "models.inference.ai.azure.com/models/chat/completions",
    "github.models": "models.github.ai/inference/chat/completions",
    "github.copilot": "api.githubcopilot.com/chat/completions "
    "api.individual.githubcopilot.com/responses api.business.githubcopilot.com/v1/messages "
    "api.enterprise.githubcopilot.com/chat/completions "
    "copilot-proxy.githubusercontent.com/v1/engines/e/completions",
    "anthropic": "api.anthropic.com/v1/messages",
    "gcp.gemini": "generativelanguage.googleapis.com/v1beta/models/m:generateContent",
    "gcp.vertex_ai": "us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/"
    "google/models/m:generateContent aiplatform.googleapis.com/v1/x:rawPredict",
    "gcp.code_assist": "cloudcode-pa.googleapis.com/v1internal:generateContent "
    "daily-cloudcode-pa.googleapis.com/v1internal:streamGenerateContent "
    "antigravity-pa.googleapis.com/v1internal:generateContent",
    "aws.bedrock": "bedrock-runtime.us-east-1.amazonaws.com/model/m/converse "
    "bedrock-mantle.us-east-1.api.aws/openai/v1/responses "
    "bedrock-agent-runtime.us-east-1.amazonaws.com/retrieveAndGenerate",
    "mistral_ai": "api.mistral.ai/v1/chat/completions codestral.mistral.ai/v1/fim/completions",
    "cohere": "api.cohere.com/v2/chat api.cohere.ai/v1/chat",
    "groq": "api.groq.com/openai/v1/chat/completions",
    "x_ai": "api.x.ai/v1/responses",
    "deepseek": "api.deepseek.com/chat/completions",
    "perplexity": "api.perplexity.ai/chat/completions",
    "openrouter": "openrouter.ai/api/v1/chat/completions",
    "together": "api.together.xyz/v1/x api.together.ai/v1/x",
    "fireworks": "api.fireworks.ai/inference/v1/x",
    "cerebras": "api.cerebras.ai/v1/x",
    "nvidia_nim": "integrate.api.nvidia.com/v1/x ai.api.nvidia.com/v1/x",
    "sambanova": "api.sambanova.ai/v1/x",
    "moonshot_ai": "api.moonshot.ai/v1/x api.moonshot.cn/anthropic/v1/messages api.kimi.com/v1/x",
    "zhipu_ai": "open.bigmodel.cn/api/paas/v4/x",
    "z_ai": "api.z.ai/api/anthropic/v1/messages",
    "dashscope": "dashscope.aliyuncs.com/compatible-mode/v1/x "
    "dashscope-intl.aliyuncs.com/api/v1/services/aigc/x dashscope-us.aliyuncs.com/apps/anthropic",
    "minimax": "api.minimax.io/v1/text/chatcompletion_v2 api.minimaxi.com/v1/x",
    "siliconflow": "api.siliconflow.cn/v1/x api.siliconflow.com/v1/x",
    "volcengine": "ark.cn-beijing.volces.com/api/v3/x",
    "qianfan": "qianfan.baidubce.com/v2/chat/completions aip.baidubce.com/rpc/2.0/ai_custom/v1/x",
    "hunyuan": "api.hunyuan.cloud.tencent.com/v1/x",
    "stepfun": "api.stepfun.com/v1/x",
    "01_ai": "api.lingyiwanwu.com/v1/x",
    "ai21": "api.ai21.com/studio/v1/chat/completions",
    "replicate": "api.replicate.com/v1/predictions",
    "huggingface": "router.huggingface.co/v1/x api-inference.huggingface.co/models/x "
    "mine.endpoints.huggingface.cloud/v1/x",
    "deepinfra": "api.deepinfra.com/v1/openai/x",
    "novita": "api.novita.ai/v1/x",
    "hyperbolic": "api.hyperbolic.xyz/v1/x",
    "lambda": "api.lambda.ai/v1/x",
    "nebius": "api.studio.nebius.ai/v1/x api.tokenfactory.nebius.com/v1/x",
    "baseten": "inference.baseten.co/v1/x",
    "friendli": "api.friendli.ai/v1/x",
    "featherless": "api.featherless.ai/v1/x",
    "nscale": "inference.api.nscale.com/v1/x",
    "chutes": "llm.chutes.ai/v1/x",
    "wandb": "api.inference.wandb.ai/v1/x",
    "ibm.watsonx.ai": "us-south.ml.cloud.ibm.com/ml/v1/text/chat_stream",
    "databricks": "mine.databricks.com/serving-endpoints/e/invocations "
    "mine.azuredatabricks.net/serving-endpoints/e/invocations",
    "snowflake": "mine.snowflakecomputing.com/api/v2/cortex/inference:complete",
    "meta_llama": "api.llama.com/compat/v1/x",
    "upstage": "api.upstage.ai/v1/x",
    "voyage": "api.voyageai.com/v1/embeddings",
    "jina": "api.jina.ai/v1/embeddings",
    "morph": "api.morphllm.com/v1/x",
    "poe": "api.poe.com/v1/x",
    "vercel": "ai-gateway.vercel.sh/v1/x",
    "cloudflare": "gateway.ai.cloudflare.com/v1/acct/gw/openai/chat/completions",
    "helicone": "ai-gateway.helicone.ai/v1/x oai.helicone.ai/v1/x",
    "portkey": "api.portkey.ai/v1/x",
    "cursor": "api2.cursor.sh/aiserver.v1.ChatService/x",
    "windsurf": "server.codeium.com/x mine.windsurf.com/x",
    "kiro": "q.us-east-1.amazonaws.com/x codewhisperer.us-east-1.amazonaws.com/x",
    "jetbrains": "api.jetbrains.ai/x",
    "ollama": "ollama.com/api/chat localhost:11434/api/generate localhost:11434/v1/messages",
    "vllm": "localhost:8000/v1/chat/completions localhost:8000/tokenize",
    "sglang": "localhost:30000/generate",
    "llama.cpp": "localhost:8080/completion localhost:8080/slots localhost:8080/props",
    "lm_studio": "localhost:1234/api/v0/x localhost:1234/api/v1/x",
    "tgi": "localhost:3000/generate localhost:3000/generate_stream",
    "litellm": "localhost:4000/v1/x",
    "jan": "localhost:1337/v1/x",
    "koboldcpp": "localhost:5001/api/v1/generate",
    "text_generation_webui": "localhost:5000/v1/x",
    "docker_model_runner": "localhost:12434/engines/v1/x",
    "xinference": "localhost:9997/v1/x",
    "gpt4all": "localhost:4891/v1/x",
}
ADDRESSES = [(url, id) for id, urls in SURVEYED.items() for url in urls.split()]


@pytest.mark.parametrize(("url", "id"), ADDRESSES, ids=[url for url, _ in ADDRESSES])
def test_every_surveyed_address_is_its_providers_and_no_neighbours(url: str, id: str) -> None:
    host, slash, path = url.partition("/")

    found = find(host, slash + path)

    assert found is not None
    assert found.id == id
    name, colon, port = host.partition(":")
    assert find(f"{name}.evil.example{colon}{port}", slash + path) is None
    assert find(f"evil-{name.replace('.', '-')}.example{colon}{port}", slash + path) is None


def test_every_provider_of_the_table_was_surveyed() -> None:
    assert {row.id for row in PROVIDERS} == SURVEYED.keys()


@pytest.mark.parametrize(("row", "path"), PATHS, ids=[f"{r.hosts[0]}{p}" for r, p in PATHS])
def test_a_host_that_serves_more_needs_the_path(row: Provider, path: str) -> None:
    host = example(row.hosts[0])

    assert find(host, f"{path}x") == row
    assert find(host, "/x") is None
    assert find(host, f"/x{path}") is None
    assert find(host) is not None


@pytest.mark.parametrize(
    ("row", "port", "path"), PORTS, ids=[f"{port}{path}" for _, port, path in PORTS]
)
def test_local_servers_are_told_by_port_and_path_on_this_host_only(
    row: Provider, port: int, path: str
) -> None:
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert find(f"{host}:{port}", path) == row
    assert find(f"localhost:{port}") is None
    assert find(f"localhost:{port}", "/x") is None
    assert find("localhost:65000", path) is None
    assert find("localhost", path) is None
    assert find(f"192.0.2.1:{port}", path) is None
    assert find(f"localhost.example.com:{port}", path) is None


def test_a_local_port_names_nobody_without_the_shape_of_a_prompt() -> None:
    prompt = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    local = "localhost:8000"

    found = classify(request(prompt, host=local), Direction.WRITE)
    assert (found.provider, found.provider_name, found.interesting) == ("vllm", "vLLM", True)
    found = classify(request(b'{"model":"m"}', host=local), Direction.WRITE)
    assert (found.provider, found.content_class, found.interesting) == (None, "http", False)


def test_editors_are_known_and_have_no_dialect() -> None:
    assert {row.api for row in EDITORS} == {None}


def test_the_first_row_wins_whatever_the_others_know_of_the_host() -> None:
    mine = Provider("mine", "Mine", ("*.openai.com",), paths=("/v1/",))
    rows = Providers((mine, *PROVIDERS))

    assert rows.find("api.openai.com", "/v1/x") == mine
    found = rows.find("api.openai.com", "/x")
    assert found is not None
    assert found.id == "openai"


@pytest.mark.parametrize(
    ("pattern", "fits", "near"),
    [
        ("llm", ("llm", "LLM:8080"), ("llm.example", "allm")),
        ("*.corp", ("a.corp", "b.a.corp"), ("corp", "a.corpx", "acorp")),
        ("a-*.corp", ("a-1.corp",), ("a-.corp", "a-1.b.corp", "b.a-1.corp")),
        ("*-llm.corp", ("x-llm.corp",), ("-llm.corp", "y.x-llm.corp")),
        ("a.*.b.corp", ("a.x.b.corp",), ("a.b.corp", "a.x.y.b.corp")),
    ],
)
def test_stars(pattern: str, fits: tuple[str, ...], near: tuple[str, ...]) -> None:
    rows = Providers((convert({"id": "x", "name": "X", "hosts": [pattern]}, Provider),))

    assert [host for host in fits if rows.find(host) is None] == []
    assert [host for host in near if rows.find(host) is not None] == []


@pytest.mark.parametrize(
    "pattern", ["", "*", "*.*.corp", "a*", "A.corp", ".corp", "a..b", "a.corp.", "a:80", "a/b", "é"]
)
def test_patterns_that_could_fit_too_much_or_nothing_are_refused(pattern: str) -> None:
    with pytest.raises(ValidationError):
        convert({"id": "x", "name": "X", "hosts": [pattern]}, Provider)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        ".",
        "notopenai.com",
        "notapi.openai.com",
        "openai.com",
        "api.openai.com.evil.example",
        "openai.com.evil.example",
        "www.anthropic.com",
        "bedrock-runtime.amazonaws.com",
        "bedrock-runtime.us-east-1.evil.amazonaws.com",
        "s3.us-east-1.amazonaws.com",
        ".openai.azure.com",
        "a." * 200 + "api.openai.com",
        "evil-aiplatform.googleapis.com.example",
        "104.18.6.192",
        "[2606:4700::6812:6c0]:443",
        "localhost",
        "localhost:8000",
        "example.com:11434",
    ],
)
def test_other_hosts_are_nobodys(host: str | None) -> None:
    assert find(host) is None


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        ("API.OpenAI.com.:443", ("api.openai.com", 443)),
        (" localhost ", ("localhost", None)),
        ("[::1]:11434", ("::1", 11434)),
        ("::1", ("::1", None)),
        ("host:junk", ("host", None)),
        ("host:99999999", ("host", None)),
    ],
)
def test_host_name_and_port(host: str, parts: tuple[str, int | None]) -> None:
    assert host_name(host) == parts


def test_names_are_for_display() -> None:
    assert DEFAULT_OPTIONS.providers.name("gcp.gemini") == "Google Gemini"
    assert DEFAULT_OPTIONS.providers.name("nobody") is None
    assert DEFAULT_OPTIONS.providers.name(None) is None


def test_the_patterns_of_all_hosts_are_told() -> None:
    hosts = DEFAULT_OPTIONS.providers.hosts
    assert set(hosts) == {pattern for row in PROVIDERS for pattern in row.hosts}
