# What Busted does unless told otherwise: tell all that is said to models and MCP servers, tell
# personal data, and stop secrets on their way out.
package busted

default decision := "allow"

decision := "deny" if {
	count(leaving_secrets) > 0
} else := "audit" if {
	ai_traffic
}

reasons contains sprintf("%s in %s leaves this host", [kind, input.action.type]) if {
	some kind in leaving_secrets
}

reasons contains sprintf("personal data (%s) in %s", [kind, input.action.type]) if {
	count(leaving_secrets) == 0
	some kind in found
	not kind in data.secrets.kinds
}

reasons contains sprintf("%s of %s", [input.action.type, whom]) if {
	ai_traffic
	count(leaving_secrets) == 0
	count(found) == 0
}

ai_traffic if {
	input.action.type in {
		"Prompt",
		"Response",
		"ToolCall",
		"ToolResult",
		"McpRequest",
		"McpResponse",
		"A2aRequest",
		"A2aResponse",
		"PiiDetected",
	}
}

# What goes to a model, a server or another agent; what comes from there has been there already.
outgoing if input.action.type in {"Prompt", "ToolResult", "McpRequest", "A2aRequest"}

found contains finding.kind if some finding in input.action.pii

found contains kind if some kind in input.action.kinds

leaving_secrets contains kind if {
	outgoing
	some kind in found
	kind in data.secrets.kinds
}

default whom := "an unknown provider"

whom := input.action.provider if {
	input.action.provider
} else := input.connection.sni if {
	input.connection.sni
}
