"""The providers we know: one row for each host or local server that has paths of its own.

Names and paths: LiteLLM's constants, the SDKs' base URLs and the providers' documentation.
Identifiers are OpenTelemetry's `gen_ai.provider.name` where it has one, else a lower-case slug:
https://github.com/open-telemetry/semantic-conventions-genai

Left out: what serves models beside everything else at a host of its users' choice (a gateway
at home, a deployment on one's own domain); an operator adds those in the configuration file.
"""

from __future__ import annotations

from busted.classifier.providers import Provider

HOSTED = (
    Provider("openai", "OpenAI", ("api.openai.com", "*.api.openai.com")),
    Provider("openai", "OpenAI", ("chatgpt.com",), "openai.responses", ("/backend-api/codex",)),
    Provider(
        "azure.ai.openai",
        "Azure OpenAI",
        ("*.openai.azure.com", "*.cognitiveservices.azure.com"),
    ),
    Provider(
        "azure.ai.inference",
        "Azure AI Foundry",
        ("*.services.ai.azure.com", "models.inference.ai.azure.com"),
    ),
    Provider("github.models", "GitHub Models", ("models.github.ai",), paths=("/inference/",)),
    Provider(
        "github.copilot",
        "GitHub Copilot",
        (
            "api.githubcopilot.com",
            "api.*.githubcopilot.com",
            "copilot-proxy.githubusercontent.com",
        ),
    ),
    Provider("anthropic", "Anthropic", ("api.anthropic.com",), "anthropic.messages"),
    Provider(
        "gcp.gemini",
        "Google Gemini",
        ("generativelanguage.googleapis.com",),
        "google.generate_content",
    ),
    Provider(
        "gcp.vertex_ai",
        "Google Vertex AI",
        ("aiplatform.googleapis.com", "*-aiplatform.googleapis.com"),
        "google.generate_content",
    ),
    Provider(
        "gcp.code_assist",
        "Google Code Assist",
        (
            "cloudcode-pa.googleapis.com",
            "daily-cloudcode-pa.googleapis.com",
            "antigravity-pa.googleapis.com",
        ),
        "google.generate_content",
    ),
    Provider(
        "aws.bedrock",
        "AWS Bedrock",
        (
            "bedrock-runtime.*.amazonaws.com",
            "bedrock-runtime-fips.*.amazonaws.com",
            "bedrock-agent-runtime.*.amazonaws.com",
        ),
        "bedrock.converse",
    ),
    Provider("aws.bedrock", "AWS Bedrock", ("bedrock-mantle.*.api.aws",)),
    Provider("mistral_ai", "Mistral AI", ("api.mistral.ai", "codestral.mistral.ai")),
    Provider("cohere", "Cohere", ("api.cohere.com", "api.cohere.ai"), "cohere.chat"),
    Provider("groq", "Groq", ("api.groq.com",)),
    Provider("x_ai", "xAI", ("api.x.ai", "*.api.x.ai")),
    Provider("deepseek", "DeepSeek", ("api.deepseek.com",)),
    Provider("perplexity", "Perplexity", ("api.perplexity.ai",)),
    Provider("openrouter", "OpenRouter", ("openrouter.ai",), paths=("/api/",)),
    Provider("together", "Together AI", ("api.together.xyz", "api.together.ai")),
    Provider("fireworks", "Fireworks AI", ("api.fireworks.ai",), paths=("/inference/",)),
    Provider("cerebras", "Cerebras", ("api.cerebras.ai",)),
    Provider("nvidia_nim", "NVIDIA NIM", ("integrate.api.nvidia.com", "ai.api.nvidia.com")),
    Provider("sambanova", "SambaNova", ("api.sambanova.ai",)),
    Provider("moonshot_ai", "Moonshot AI", ("api.moonshot.ai", "api.moonshot.cn", "api.kimi.com")),
    # The same company in China and abroad, with accounts and prices of their own.
    Provider("zhipu_ai", "Zhipu AI", ("open.bigmodel.cn",), paths=("/api/",)),
    Provider("z_ai", "Z.ai", ("api.z.ai",)),
    Provider(
        "dashscope",
        "Alibaba DashScope",
        (
            "dashscope.aliyuncs.com",
            "dashscope-intl.aliyuncs.com",
            "dashscope-us.aliyuncs.com",
        ),
    ),
    Provider("minimax", "MiniMax", ("api.minimax.io", "api.minimaxi.com")),
    Provider("siliconflow", "SiliconFlow", ("api.siliconflow.cn", "api.siliconflow.com")),
    Provider("volcengine", "Volcengine Ark", ("ark.*.volces.com",)),
    Provider("qianfan", "Baidu Qianfan", ("qianfan.baidubce.com",)),
    # Its other paths are Baidu's speech, vision and maps.
    Provider("qianfan", "Baidu Qianfan", ("aip.baidubce.com",), None, ("/rpc/2.0/ai_custom/",)),
    Provider("hunyuan", "Tencent Hunyuan", ("api.hunyuan.cloud.tencent.com",)),
    Provider("stepfun", "StepFun", ("api.stepfun.com",)),
    Provider("01_ai", "01.AI", ("api.lingyiwanwu.com",)),
    Provider("ai21", "AI21 Labs", ("api.ai21.com",), paths=("/studio/",)),
    Provider("replicate", "Replicate", ("api.replicate.com",), None),
    Provider(
        "huggingface",
        "Hugging Face",
        (
            "router.huggingface.co",
            "api-inference.huggingface.co",
            "*.endpoints.huggingface.cloud",
        ),
    ),
    Provider("deepinfra", "DeepInfra", ("api.deepinfra.com",)),
    Provider("novita", "Novita AI", ("api.novita.ai",)),
    Provider("hyperbolic", "Hyperbolic", ("api.hyperbolic.xyz",)),
    Provider("lambda", "Lambda", ("api.lambda.ai",)),
    Provider("nebius", "Nebius", ("api.studio.nebius.ai", "api.tokenfactory.nebius.com")),
    Provider("baseten", "Baseten", ("inference.baseten.co",)),
    Provider("friendli", "Friendli", ("api.friendli.ai",)),
    Provider("featherless", "Featherless", ("api.featherless.ai",)),
    Provider("nscale", "Nscale", ("inference.api.nscale.com",)),
    Provider("chutes", "Chutes", ("llm.chutes.ai",)),
    Provider("wandb", "Weights & Biases", ("api.inference.wandb.ai",)),
    Provider("ibm.watsonx.ai", "IBM watsonx", ("*.ml.cloud.ibm.com",), None, ("/ml/v1/text/",)),
    # Warehouses: nearly all that goes to these hosts is SQL.
    Provider(
        "databricks",
        "Databricks",
        ("*.databricks.com", "*.azuredatabricks.net"),
        paths=("/serving-endpoints/",),
    ),
    Provider(
        "snowflake",
        "Snowflake Cortex",
        ("*.snowflakecomputing.com",),
        paths=("/api/v2/cortex/",),
    ),
    Provider("meta_llama", "Meta Llama API", ("api.llama.com",)),
    Provider("upstage", "Upstage", ("api.upstage.ai",)),
    Provider("voyage", "Voyage AI", ("api.voyageai.com",), "openai.embeddings"),
    Provider("jina", "Jina AI", ("api.jina.ai",), "openai.embeddings"),
    Provider("morph", "Morph", ("api.morphllm.com",)),
    Provider("poe", "Poe", ("api.poe.com",)),
)

# They pass on to providers that only their paths and headers name.
GATEWAYS = (
    Provider("vercel", "Vercel AI Gateway", ("ai-gateway.vercel.sh",)),
    Provider("cloudflare", "Cloudflare AI Gateway", ("gateway.ai.cloudflare.com",)),
    Provider("helicone", "Helicone", ("ai-gateway.helicone.ai", "oai.helicone.ai")),
    Provider("portkey", "Portkey", ("api.portkey.ai",)),
)

# What editors talk to. The bodies are Protocol Buffers or otherwise opaque, so no dialect
# fits: that they are used is told, not what was said.
EDITORS = (
    Provider("cursor", "Cursor", ("api2.cursor.sh",), None),
    Provider("windsurf", "Windsurf", ("server.codeium.com", "*.windsurf.com"), None),
    Provider("kiro", "Amazon Q and Kiro", ("q.*.amazonaws.com",), None),
    Provider("kiro", "Amazon Q and Kiro", ("codewhisperer.*.amazonaws.com",), None),
    Provider("jetbrains", "JetBrains AI", ("api.jetbrains.ai",), None),
)

# Hints: on this host, at the port where it listens unless told otherwise, and at its paths. Where
# several share both, the most common one is named: vLLM, not NIM; llama.cpp, not LocalAI. An
# operator who runs the other says so in the configuration file. Triton speaks no dialect of ours.
LOCAL = (
    Provider("ollama", "Ollama", ("ollama.com",), paths=("/api/", "/v1/")),
    Provider("ollama", "Ollama", paths=("/api/", "/v1/"), local_ports=(11434,)),
    Provider(
        "vllm",
        "vLLM",
        paths=("/v1/", "/tokenize", "/detokenize", "/pooling"),
        local_ports=(8000,),
    ),
    Provider("sglang", "SGLang", paths=("/v1/", "/generate"), local_ports=(30000,)),
    Provider(
        "llama.cpp",
        "llama.cpp",
        paths=("/v1/", "/completion", "/infill", "/slots", "/props"),
        local_ports=(8080,),
    ),
    Provider("lm_studio", "LM Studio", paths=("/v1/", "/api/v0/", "/api/v1/"), local_ports=(1234,)),
    Provider(
        "tgi",
        "Text Generation Inference",
        paths=("/v1/", "/generate"),
        local_ports=(3000,),
    ),
    Provider("litellm", "LiteLLM proxy", paths=("/v1/", "/chat/completions"), local_ports=(4000,)),
    Provider("jan", "Jan", paths=("/v1/",), local_ports=(1337,)),
    Provider("koboldcpp", "KoboldCpp", paths=("/v1/", "/api/"), local_ports=(5001,)),
    Provider(
        "text_generation_webui", "Text generation web UI", paths=("/v1/",), local_ports=(5000,)
    ),
    Provider(
        "docker_model_runner", "Docker Model Runner", paths=("/engines/",), local_ports=(12434,)
    ),
    Provider("xinference", "Xinference", paths=("/v1/",), local_ports=(9997,)),
    Provider("gpt4all", "GPT4All", paths=("/v1/",), local_ports=(4891,)),
)

PROVIDERS = (*HOSTED, *GATEWAYS, *EDITORS, *LOCAL)
