// The other server, in Node: the same kinds of traffic as server.py, made by another program.
//
//   node server.mjs SERVER.PEM PROFILES_JSON PORTS_JSON ROOT
//
// PORTS has [port, server, kind, profile] of each scenario; ROOT is what git clones.
import fs from "node:fs";
import http2 from "node:http2";
import https from "node:https";
import path from "node:path";

const [pem, profilesJson, portsJson, root] = process.argv.slice(2);
const profiles = JSON.parse(profilesJson);
const tls = { cert: fs.readFileSync(pem), key: fs.readFileSync(pem) };
const words = "Somewhere else another server says the same things in other words, and at length. ".repeat(60);
const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
const uniform = (low, high) => low + Math.random() * (high - low);
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
const expo = (mean) => -mean * Math.log(1 - Math.random());
const lognormal = (mu, sigma) => Math.exp(mu + sigma * normal());

async function body(request) {
  let length = 0;
  const head = [];
  for await (const piece of request) {
    length += piece.length;
    if (length < 100000) head.push(piece);
  }
  return { length, text: Buffer.concat(head).toString() };
}

async function llm(request, response, [first, rate, together, jitter], whole) {
  const stream = !whole;
  await body(request);
  const length = Math.min(Math.max(lognormal(6.7, 0.8), 100), 4000);
  const wait = Math.min(first * lognormal(0, 0.4), 12);
  if (!stream) {
    await sleep(wait + length / 5 / rate);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ choices: [{ message: { content: words.slice(0, length) } }] }));
    return;
  }
  await sleep(wait);
  const google = request.url.includes("Generate");
  const ollama = request.url.startsWith("/api/chat");
  response.setHeader("content-type", ollama ? "application/x-ndjson" : "text/event-stream");
  let due = performance.now();
  for (let at = 0; at < length; at += 5 * together) {
    const text = words.slice(at, at + 5 * together);
    if (google) {
      const chunk = { candidates: [{ content: { parts: [{ text }], role: "model" }, index: 0 }], modelVersion: "m" };
      response.write(`data: ${JSON.stringify(chunk)}\r\n\r\n`);
    } else response.write(
      ollama
        ? `${JSON.stringify({ model: "m", created_at: "2026-01-01T00:00:00Z", message: { role: "assistant", content: text }, done: false })}\n`
        : `data: ${JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", created: 1760000000, model: "m", choices: [{ index: 0, delta: { content: text }, finish_reason: null }] })}\n\n`,
    );
    due += ((1000 * together) / rate) * Math.max(1 + jitter * normal(), 0.05);
    await sleep(Math.max(due - performance.now(), 0) / 1000);
  }
  if (google) return void response.end();
  response.end(ollama ? '{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":""},"done":true}\n' : "data: [DONE]\n\n");
}

async function endless(response, kind) {
  const rate = uniform(1, 8);
  for (let i = 0; i < 2000 && !response.destroyed; i++) {
    if (kind === "log_tail") {
      for (let n = uniform(1, 12); n > 0; n--) response.write(`level=info msg="${words.slice(0, uniform(20, 160))}"\n`);
      await sleep(expo(0.8));
    } else if (kind === "grpc_telemetry") {
      response.write(Buffer.alloc(uniform(200, 900), 7));
      await sleep(1);
    } else {
      response.write(`data: ${JSON.stringify({ symbol: "XYZ", bid: Math.random(), ask: Math.random() })}\n\n`);
      await sleep(expo(1 / rate));
    }
  }
}

async function answer(request, response, kind, profile) {
  const url = request.url;
  if (kind.startsWith("llm")) return llm(request, response, profile, kind === "llm_whole");
  if (url.startsWith("/git/")) {
    const file = path.join(root, path.normalize(url.slice(5).split("?")[0]));
    if (!fs.existsSync(file) || !fs.statSync(file).isFile()) {
      response.statusCode = 404;
      response.end();
    } else fs.createReadStream(file).pipe(response);
    return;
  }
  await body(request);
  if (url.startsWith("/blob/")) response.end(Buffer.alloc(Math.min(Number(url.slice(6)), 1 << 24), 99));
  else if (url === "/page") {
    await sleep(expo(0.1));
    const sizes = Array.from({ length: uniform(3, 25) }, () => Math.floor(lognormal(9.5, 1.2)));
    response.end(sizes.map((size) => `<img src="/blob/${size}">`).join("") + words);
  } else if (url === "/poll") {
    await sleep(uniform(0.5, 6));
    response.end(JSON.stringify({ text: words.slice(0, 60) }));
  } else if (url === "/endless") await endless(response, kind);
  else {
    await sleep(expo(0.06));
    response.end(JSON.stringify(Array.from({ length: lognormal(1.5, 1.5) + 1 }, (_, id) => ({ id, name: "widget" }))));
  }
}

for (const [port, server, kind, profile] of JSON.parse(portsJson)) {
  const serve = (request, response) =>
    answer(request, response, kind, profiles[profile]).catch(() => response.destroy?.());
  const made = server === "node-http2" ? http2.createSecureServer({ ...tls, allowHTTP1: true }, serve) : https.createServer(tls, serve);
  made.on("sessionError", () => {});
  made.on("tlsClientError", () => {});
  made.listen(port, "127.0.0.1");
}
console.log("ready");
