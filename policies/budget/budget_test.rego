package busted.budget_test

import data.busted.budget

limits := {"request_bytes": 1000, "asked_tokens": 100, "answer_tokens": 50, "dollars": 0.5}

decided(action) := answer if answer := budget.decision with input as {"action": action} with data.budget as limits

said(action) := answer if answer := budget.reasons with input as {"action": action} with data.budget as limits

test_a_small_request_is_allowed if {
	decided({"type": "Prompt", "bytes": 1000, "params": {"max_tokens": 100}}) == "allow"
}

test_a_large_one_is_denied if {
	action := {"type": "Prompt", "bytes": 1001}
	decided(action) == "deny"
	said(action) == {"a request of 1001 bytes, 1000 are allowed"}
}

test_asking_for_too_many_tokens_is_denied_under_every_name if {
	every name in ["max_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens_to_sample"] {
		decided({"type": "Prompt", "bytes": 1, "params": {name: 101}}) == "deny"
	}
}

test_what_is_no_number_is_no_limit if {
	decided({"type": "Prompt", "bytes": 1, "params": {"max_tokens": "many"}}) == "allow"
}

test_a_dear_answer_is_audited if {
	decided({"type": "Response", "usage": {"output": 51}}) == "audit"
	decided({"type": "Response", "cost": 0.75}) == "audit"
	decided({"type": "Response", "usage": {"output": 50}, "cost": 0.5}) == "allow"
}

test_an_agent_that_spent_too_much_asks_no_more if {
	spent := {"requests_hour": 3, "tokens_hour": 1001, "cost_day": 0.5}
	prompt := {"action": {"type": "Prompt", "bytes": 1}, "budget": spent}
	budget.decision == "deny" with input as prompt with data.budget as {"agent": {"tokens_hour": 1000}}
	budget.reasons == {"1001 tokens in an hour, 1000 are allowed"} with input as prompt
		with data.budget as {"agent": {"tokens_hour": 1000, "cost_day": 0.5, "requests_hour": 3}}
	budget.decision == "allow" with input as prompt with data.budget as {"agent": {"tokens_hour": 1001}}
	budget.decision == "allow" with input as prompt with data.budget as limits
}

test_what_it_spent_stops_no_answer if {
	answer := {"action": {"type": "Response"}, "budget": {"tokens_hour": 1001}}
	budget.decision == "allow" with input as answer with data.budget as {"agent": {"tokens_hour": 1000}}
}

test_without_limits_all_is_allowed if {
	budget.decision == "allow" with data.budget as {}
		with input as {"action": {"type": "Prompt", "bytes": 1000000000}}
}
