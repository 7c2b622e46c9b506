// An MCP server with one tool, on standard input and output.

import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";

const server = new McpServer({ name: "node-places", version: "4.5.6" });
server.registerTool(
  "population",
  { description: "Look up how many live in a place.", inputSchema: { place: z.string() } },
  async ({ place }) => ({ content: [{ type: "text", text: `population of ${place}: 42` }] }),
);
await server.connect(new StdioServerTransport());
