"""What the messages mean: providers, dialects, MCP, SDKs, personal data and secrets."""
