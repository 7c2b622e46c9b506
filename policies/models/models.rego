# Only these models, by provider; `*` stands for any part of a name. A request that names none is
# one for a model that nobody chose, and denied.
package busted.models

default decision := "allow"

decision := "deny" if denied

reasons contains sprintf("model %s of %s is not on the list", [model, provider]) if denied

denied if {
	input.action.type == "Prompt"
	not listed
}

listed if {
	some pattern in data.models.allowed[provider]
	glob.match(pattern, ["\n"], model)
}

default model := "unknown"

model := input.action.model if input.action.model

default provider := "unknown"

provider := input.action.provider if input.action.provider
