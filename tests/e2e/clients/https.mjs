// Node's `https` module, without any SDK.
import { request } from "node:https";
import { text } from "node:stream/consumers";

for (const prompt of process.argv.slice(2)) {
  const body = JSON.stringify({
    model: "gpt-4o-mini",
    messages: [{ role: "user", content: prompt }],
  });
  const answer = await new Promise((resolve, reject) => {
    const headers = {
      "content-type": "application/json",
      authorization: `Bearer ${process.env.OPENAI_API_KEY}`,
    };
    request("https://api.openai.com/v1/chat/completions", { method: "POST", headers }, resolve)
      .on("error", reject)
      .end(body);
  });
  const completion = JSON.parse(await text(answer));
  console.log(JSON.stringify(completion.choices[0].message.content));
}
