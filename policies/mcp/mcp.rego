# Only these MCP servers, by host name, and of each only these tools; `*` stands for all tools.
# A server over a pipe or without a name is `local`.
package busted.mcp

default decision := "allow"

decision := "deny" if {
	count(violations) > 0
} else := "audit" if {
	count(changes) > 0
}

reasons := violations if {
	count(violations) > 0
} else := changes

violations contains sprintf("MCP server %s is not on the list", [server]) if {
	asks
	not data.mcp.servers[server]
}

violations contains sprintf("tool %s of MCP server %s is not on the list", [input.action.tool, server]) if {
	asks
	tools := data.mcp.servers[server]
	not "*" in tools
	not input.action.tool in tools
	input.action.tool
}

# A tool that says of itself something else than before may be another one.
changes contains sprintf("tool %s of MCP server %s has changed", [tool.name, server]) if {
	input.action.type == "McpResponse"
	some tool in input.action.tools
	tool.changed
}

# What a server asks of its client goes to no server.
asks if {
	input.action.type == "McpRequest"
	not input.action.sender == "server"
}

default server := "local"

server := input.connection.sni if {
	input.connection.sni
} else := input.connection.dst_ip if {
	input.connection.dst_ip
}
