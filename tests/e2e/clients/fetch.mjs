// Node's built-in `fetch`, without any SDK.
for (const prompt of process.argv.slice(2)) {
  const answer = await fetch("https://api.anthropic.com/v1/messages", {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "anthropic-version": "2023-06-01",
      "x-api-key": process.env.ANTHROPIC_API_KEY,
    },
    body: JSON.stringify({
      model: "claude-sonnet-4-5",
      max_tokens: 1000,
      messages: [{ role: "user", content: prompt }],
    }),
  });
  const message = await answer.json();
  console.log(JSON.stringify(message.content[0].text));
}
