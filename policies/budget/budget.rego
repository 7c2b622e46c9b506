# Not more than this for one request: bytes that are sent, tokens that are asked for, and, told when
# the answer is there, tokens and dollars that it took. And not more than this for one agent: what it
# spent in the last hour or day, after which its requests are denied. Each limit is there only if the
# data has it.
package busted.budget

default decision := "allow"

decision := "deny" if {
	count(asked_too_much | spent_too_much) > 0
} else := "audit" if {
	count(took_too_much) > 0
}

reasons := (asked_too_much | spent_too_much) | took_too_much

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

spent_too_much contains sprintf("%v %s, %v are allowed", [spent, said[what], limit]) if {
	input.action.type == "Prompt"
	some what, limit in data.budget.agent
	spent := input.budget[what]
	spent > limit
}

said := {
	"requests_hour": "requests in an hour",
	"requests_day": "requests in a day",
	"tokens_hour": "tokens in an hour",
	"tokens_day": "tokens in a day",
	"cost_hour": "dollars in an hour",
	"cost_day": "dollars in a day",
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
