package busted.mcp_test

import data.busted.mcp

list := {"servers": {"tools.example.org": ["weather"], "local": ["*"]}}

event(host, action) := {"connection": {"id": "1", "sni": host}, "action": action}

call(tool) := {"type": "McpRequest", "method": "tools/call", "tool": tool}

decided(given) := answer if answer := mcp.decision with input as given with data.mcp as list

said(given) := answer if answer := mcp.reasons with input as given with data.mcp as list

test_a_listed_tool_is_allowed if {
	decided(event("tools.example.org", call("weather"))) == "allow"
}

test_another_tool_is_denied if {
	given := event("tools.example.org", call("shell"))
	decided(given) == "deny"
	said(given) == {"tool shell of MCP server tools.example.org is not on the list"}
}

test_another_server_is_denied_whatever_it_is_asked if {
	given := event("evil.example.org", {"type": "McpRequest", "method": "initialize"})
	decided(given) == "deny"
	said(given) == {"MCP server evil.example.org is not on the list"}
}

test_what_names_no_tool_needs_only_the_server if {
	decided(event("tools.example.org", {"type": "McpRequest", "method": "tools/list"})) == "allow"
}

test_a_server_without_a_name_is_local if {
	decided({"action": call("anything")}) == "allow"
}

test_what_a_server_asks_is_not_judged if {
	action := {"type": "McpRequest", "method": "sampling/createMessage", "sender": "server"}
	decided(event("evil.example.org", action)) == "allow"
}

test_a_changed_tool_is_audited if {
	tools := [{"name": "weather", "hash": "1", "changed": true}, {"name": "other", "hash": "2"}]
	given := event("tools.example.org", {"type": "McpResponse", "tools": tools})
	decided(given) == "audit"
	said(given) == {"tool weather of MCP server tools.example.org has changed"}
}
