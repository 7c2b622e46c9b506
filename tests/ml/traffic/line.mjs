// A wide network: what goes through here arrives later, in its order, and no faster than a line allows.
//
//   node line.mjs DELAY_MS PORTS_JSON
//
// Each port leads to the server that listens BEHIND above it. Linux has netem for this, which not every
// kernel has. Left out: loss, and the time of TCP's own handshake.
import net from "node:net";

const [delayMs, portsJson] = process.argv.slice(2);
const delay = Number(delayMs);
const BEHIND = 1000;
// What may be on its way, as TCP's window would have it.
const WINDOW = 256 * 1024;

function pass(from, to, bytesPerMs) {
  let due = 0;
  let flying = 0;
  const way = []; // timers may fire in another order than they were set in
  from.on("data", (piece) => {
    const now = performance.now();
    const arrival = now + delay * (0.9 + 0.3 * Math.random() ** 3);
    due = Math.max(due, arrival) + piece.length / bytesPerMs;
    flying += piece.length;
    if (flying > WINDOW) from.pause();
    way.push(piece);
    setTimeout(() => {
      const first = way.shift();
      flying -= first.length;
      if (flying <= WINDOW) from.resume();
      if (!to.destroyed) to.write(first);
    }, due - now);
  });
  from.on("end", () => setTimeout(() => to.end(), Math.max(due - performance.now(), delay) + 5));
  from.on("error", () => to.destroy());
  from.on("close", () => setTimeout(() => to.destroy(), Math.max(due - performance.now(), delay) + 50));
}

for (const port of JSON.parse(portsJson)) {
  const line = net.createServer({ allowHalfOpen: true }, (client) => {
    const server = net.connect({ port: port + BEHIND, host: "127.0.0.1", allowHalfOpen: true });
    client.setNoDelay();
    server.setNoDelay();
    const bytesPerMs = 1000 * (1 + 20 * Math.random()); // 1 to 21 MB/s
    pass(client, server, bytesPerMs);
    pass(server, client, bytesPerMs);
  });
  line.listen(port, "127.0.0.1");
}
console.log("ready");
