// The `openai` package from npm, streaming. It is installed outside the sources, where `import`
// does not look: NODE_PACKAGES names the directory that holds it.
import { createRequire } from "node:module";

const OpenAI = createRequire(`${process.env.NODE_PACKAGES}/`)("openai");

const client = new OpenAI({ maxRetries: 0 });
for (const prompt of process.argv.slice(2)) {
  const stream = await client.chat.completions.create({
    model: "gpt-4o-mini",
    messages: [{ role: "user", content: prompt }],
    stream: true,
    stream_options: { include_usage: true },
  });
  let answer = "";
  for await (const chunk of stream) answer += chunk.choices[0]?.delta?.content ?? "";
  console.log(JSON.stringify(answer));
}
