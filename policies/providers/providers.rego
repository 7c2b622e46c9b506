# Only these providers: a request to another is denied, and so is connecting to one.
# A model at a host that Busted does not know as a provider's is named by its host.
package busted.providers

default decision := "allow"

decision := "deny" if denied

reasons contains sprintf("provider %s is not on the list", [provider]) if denied

denied if {
	asks
	not provider in allowed
}

# Without a list nobody is on it.
default allowed := []

allowed := data.providers.allowed

asks if input.action.type == "Prompt"

asks if {
	input.action.type == "Network"
	input.action.operation == "connect"
	input.action.provider
}

default provider := "unknown"

provider := input.action.provider if {
	input.action.provider
} else := input.connection.sni if {
	input.connection.sni
}
