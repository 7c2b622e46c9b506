// The `@anthropic-ai/sdk` package from npm, streaming; see node_openai.mjs for where it is.
import { createRequire } from "node:module";

const Anthropic = createRequire(`${process.env.NODE_PACKAGES}/`)("@anthropic-ai/sdk");

const client = new Anthropic({ maxRetries: 0 });
for (const prompt of process.argv.slice(2)) {
  const stream = client.messages.stream({
    model: "claude-sonnet-4-5",
    max_tokens: 1000,
    messages: [{ role: "user", content: prompt }],
  });
  console.log(JSON.stringify(await stream.finalText()));
}
