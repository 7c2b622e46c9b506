// An MCP server with one tool, on standard input and output.

import { createRequire } from "node:module";

const require = createRequire(`${process.env.NODE_PACKAGES}/`);
const { McpServer } = require("@modelcontextprotocol/sdk/server/mcp.js");
const { StdioServerTransport } = require("@modelcontextprotocol/sdk/server/stdio.js");
const { z } = require("zod");

const server = new McpServer({ name: "node-places", version: "4.5.6" });
server.registerTool(
  "population",
  { description: "Look up how many live in a place.", inputSchema: { place: z.string() } },
  async ({ place }) => ({ content: [{ type: "text", text: `population of ${place}: 42` }] }),
);
await server.connect(new StdioServerTransport());
