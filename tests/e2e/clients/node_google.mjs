// The `@google/genai` package from npm, streaming; see node_openai.mjs for where it is.
import { createRequire } from "node:module";

const { GoogleGenAI } = createRequire(`${process.env.NODE_PACKAGES}/`)("@google/genai");

const client = new GoogleGenAI({ apiKey: process.env.GOOGLE_API_KEY });
for (const prompt of process.argv.slice(2)) {
  const stream = await client.models.generateContentStream({
    model: "gemini-2.5-flash",
    contents: prompt,
  });
  let answer = "";
  for await (const chunk of stream) answer += chunk.text ?? "";
  console.log(JSON.stringify(answer));
}
