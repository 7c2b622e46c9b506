// Deno's `fetch`. Usage: deno run -A ask_deno.mjs URL PROMPT
const [url, prompt] = Deno.args;
const answer = await fetch(url, {
  method: "POST",
  headers: {
    "content-type": "application/json",
    authorization: `Bearer ${Deno.env.get("OPENAI_API_KEY")}`,
  },
  body: JSON.stringify({ model: "gpt-4o-mini", messages: [{ role: "user", content: prompt }] }),
});
console.log(JSON.stringify((await answer.json()).choices[0].message.content));
