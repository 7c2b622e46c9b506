# Not more than this for one request: bytes that are sent, tokens that are asked for, and, told when
# the answer is there, tokens and dollars that it took. Each limit is there only if the data has it.
# A policy judges one event at a time; it does not add up what was spent before.
package busted.budget

default decision := "allow"

decision := "deny" if {
	count(asked_too_much) > 0
} else := "audit" if {
	count(took_too_much) > 0
}

reasons := asked_too_much | took_too_much

asked_too_much contains sprintf("a request of %d bytes, %d are allowed", [input.action.bytes, limit]) if {
	input.action.type == "Prompt"
	limit := data.budget.request_bytes
	input.action.bytes > limit
}

asked_too_much contains sprintf("%v tokens asked for, %v are allowed", [tokens, limit]) if {
	input.action.type == "Prompt"
	some name in {"max_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens_to_sample"}
	tokens := input.action.params[name]
	is_number(tokens)
	limit := data.budget.asked_tokens
	tokens > limit
}

took_too_much contains sprintf("an answer of %v tokens, %v are allowed", [tokens, limit]) if {
	input.action.type == "Response"
	tokens := input.action.usage.output
	limit := data.budget.answer_tokens
	tokens > limit
}

took_too_much contains sprintf("an exchange of %v dollars, %v are allowed", [cost, limit]) if {
	input.action.type == "Response"
	cost := input.action.cost
	limit := data.budget.dollars
	cost > limit
}
