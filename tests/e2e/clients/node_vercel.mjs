// Vercel's `ai` from npm with its provider for OpenAI; see node_openai.mjs for where they are.
import { createRequire } from "node:module";

const require = createRequire(`${process.env.NODE_PACKAGES}/`);
const { streamText } = require("ai");
const { openai } = require("@ai-sdk/openai");

for (const prompt of process.argv.slice(2)) {
  const { textStream } = streamText({ model: openai("gpt-4o-mini"), prompt, maxRetries: 0 });
  let answer = "";
  for await (const piece of textStream) answer += piece;
  console.log(JSON.stringify(answer));
}
