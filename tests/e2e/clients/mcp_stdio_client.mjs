// The host of an MCP server that it starts: its command is the first arguments, up to `--`; what
// follows are places to look up.

import { createRequire } from "node:module";

const require = createRequire(`${process.env.NODE_PACKAGES}/`);
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");

const words = process.argv.slice(2);
const end = words.indexOf("--");
const [command, ...args] = words.slice(0, end);
const client = new Client({ name: "node-agent", version: "3.2.1" });
await client.connect(new StdioClientTransport({ command, args, env: process.env }));
await client.listTools();
for (const place of words.slice(end + 1)) {
  const result = await client.callTool({ name: "population", arguments: { place } });
  console.log(JSON.stringify(result.content[0].text));
}
await client.close();
