// The clients in Node: client.mjs LIBRARY KIND URL SECONDS WORKERS, as client.py.
import http2 from "node:http2";
import https from "node:https";

const [library, kind, url, seconds, workers] = process.argv.slice(2);
const text = "Explain this stack trace, then change the function so that it does not happen again. ".repeat(2000);
const until = Date.now() + 1000 * seconds;
const sleep = (s) => new Promise((done) => setTimeout(done, s * 1000));
const uniform = (low, high) => low + Math.random() * (high - low);
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
const lognormal = (mu, sigma) => Math.min(Math.exp(mu + sigma * normal()), 6e6);
const expo = (mean) => -mean * Math.log(1 - Math.random());
const size = (mu, sigma) => Math.floor(lognormal(mu, sigma));
const thinking = () => Math.min(lognormal(-0.7, 1), 6);

// One function a library: (path, body, seconds) => the answer's first bytes.
const asks = {
  "node-fetch": () => async (path, body, limit = 1e9) => {
    const start = Date.now();
    const answer = await fetch(url + path, body ? { method: "POST", body, headers: { "content-type": "application/json" } } : {});
    let told = "";
    const reader = answer.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (told.length < 100000) told += Buffer.from(value).toString("latin1");
      if (Date.now() - start > 1000 * limit) {
        await reader.cancel();
        break;
      }
    }
    return told;
  },
  "node-https": () => {
    const agent = new https.Agent({ keepAlive: true, maxSockets: 6 });
    return (path, body, limit = 1e9) =>
      new Promise((done, failed) => {
        const request = https.request(url + path, { agent, method: body ? "POST" : "GET" }, (answer) => {
          let told = "";
          setTimeout(() => request.destroy(), Math.min(limit * 1000, 2e9)).unref();
          answer.on("data", (piece) => { if (told.length < 100000) told += piece.toString("latin1"); });
          answer.on("close", () => done(told));
        });
        request.on("error", failed);
        request.end(body);
      });
  },
  "node-http2": () => {
    const session = http2.connect(url);
    session.on("error", () => {});
    const ask = (path, body, limit = 1e9) =>
      new Promise((done, failed) => {
        const stream = session.request({ ":path": path, ":method": body ? "POST" : "GET" });
        let told = "";
        setTimeout(() => stream.close(), Math.min(limit * 1000, 2e9)).unref();
        stream.on("data", (piece) => { if (told.length < 100000) told += piece.toString("latin1"); });
        stream.on("close", () => done(told));
        stream.on("error", failed);
        stream.end(body);
      });
    ask.close = () => session.close();
    return ask;
  },
};

async function session() {
  const ask = asks[library]();
  try {
    if (kind.startsWith("llm")) {
      let messages = [{ role: "user", content: text.slice(0, size(7.5, 1.3)) }];
      for (let turn = uniform(1, 6); turn > 0; turn--) {
        await ask("/v1/chat/completions", JSON.stringify({ model: "m", stream: true, messages }));
        messages = [...messages, { role: "assistant", content: text.slice(0, uniform(50, 2000)) }, { role: "user", content: text.slice(0, size(5.5, 1.3)) }];
        await sleep(thinking());
      }
    } else if (kind === "page") {
      const links = [...(await ask("/page")).matchAll(/src="(\/blob\/\d+)"/g)].map((found) => found[1]);
      await Promise.all(links.map((link) => ask(link)));
      await sleep(thinking());
    } else if (kind === "video") {
      for (let part = uniform(3, 8); part > 0; part--) {
        await ask(`/blob/${size(12.5, 0.4)}`);
        await sleep(uniform(0.8, 3));
      }
    } else if (kind === "ticker" || kind === "grpc_telemetry") {
      await ask("/endless", undefined, uniform(5, 20));
    } else if (kind === "crawl") {
      for (let i = uniform(20, 150); i > 0; i--) await ask(`/blob/${size(7.5, 1.2)}`);
    } else if (kind === "poll") {
      for (let i = 0; i < 6; i++) await ask("/poll");
    } else if (kind === "grpc_calls") {
      for (let i = 0; i < 30; i++) {
        await ask("/api/Call", Buffer.alloc(uniform(20, 800), 1));
        await sleep(expo(0.3));
      }
    } else {
      for (let i = uniform(3, 20); i > 0; i--) {
        await ask("/api/items", Math.random() < 0.3 ? text.slice(0, size(6, 1)) : undefined);
        await sleep(expo(0.5));
      }
    }
  } finally {
    ask.close?.();
  }
}

async function work() {
  await sleep(uniform(0, 3));
  while (Date.now() < until) {
    try {
      await session();
    } catch (error) {
      console.error(library, kind, error.message);
      await sleep(1);
    }
    await sleep(thinking());
  }
}
for (let i = 0; i < workers; i++) work();
// Those that are half-way end with the process, as programs do that are stopped.
setTimeout(() => process.exit(0), Math.max(until - Date.now(), 0));
