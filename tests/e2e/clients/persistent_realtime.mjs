// A realtime conversation over Node's `ws`; see persistent_realtime.py.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.env.NODE_PACKAGES}/`);
const WebSocket = require("ws");
let socket = null;

function open() {
  return new Promise((resolve, reject) => {
    const url = "wss://api.openai.com/v1/realtime?model=gpt-realtime";
    const headers = { authorization: `Bearer ${process.env.OPENAI_API_KEY}` };
    const opened = new WebSocket(url, { headers, perMessageDeflate: false });
    opened.on("open", () => resolve(opened));
    opened.on("error", reject);
  });
}

function item(prompt) {
  const content = [{ type: "input_text", text: prompt.replace(/^!/, "") }];
  return { type: "message", role: "user", content };
}

async function ask(prompts) {
  socket ??= await open();
  return await new Promise((resolve, reject) => {
    let text = "";
    socket.on("close", () => reject(new Error("lost")));
    socket.on("error", reject);
    socket.on("message", (data) => {
      const event = JSON.parse(data);
      if (event.type === "response.output_text.done") text = event.text;
      if (event.type === "response.done") resolve(text);
    });
    const response = { output_modalities: ["text"] };
    for (const prompt of prompts) {
      if (prompt.startsWith("!")) response.input = [item(prompt)];
      else socket.send(JSON.stringify({ type: "conversation.item.create", item: item(prompt) }));
    }
    socket.send(JSON.stringify({ type: "response.create", response }));
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer = null;
  try {
    answer = await ask(JSON.parse(line));
  } catch {
    socket = null;
  }
  console.log(JSON.stringify([answer]));
}
socket?.terminate();
