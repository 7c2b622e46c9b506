// Asks what it is told to with Node's `fetch`, and goes on after errors; see persistent.py.
import { createInterface } from "node:readline";

async function ask(prompt) {
  try {
    const answer = await fetch("https://api.openai.com/v1/chat/completions", {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${process.env.OPENAI_API_KEY}`,
      },
      body: JSON.stringify({
        model: "gpt-4o-mini",
        messages: [{ role: "user", content: prompt }],
      }),
    });
    return (await answer.json()).choices[0].message.content;
  } catch {
    return null;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await Promise.all(JSON.parse(line).map(ask))));
}
