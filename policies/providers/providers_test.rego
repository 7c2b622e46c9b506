package busted.providers_test

import data.busted.providers

list := {"allowed": ["anthropic", "llm.example.org"]}

decided(event) := answer if answer := providers.decision with input as event with data.providers as list

test_a_listed_provider_is_allowed if {
	decided({"action": {"type": "Prompt", "provider": "anthropic"}}) == "allow"
}

test_another_is_denied_by_name if {
	event := {"action": {"type": "Prompt", "provider": "groq"}}
	decided(event) == "deny"
	providers.reasons == {"provider groq is not on the list"} with input as event with data.providers as list
}

test_an_unknown_one_is_judged_by_its_host if {
	decided({"connection": {"sni": "llm.example.org"}, "action": {"type": "Prompt"}}) == "allow"
	decided({"connection": {"sni": "evil.example.org"}, "action": {"type": "Prompt"}}) == "deny"
	decided({"action": {"type": "Prompt"}}) == "deny"
}

test_connecting_is_judged_too if {
	decided({"action": {"type": "Network", "operation": "connect", "provider": "groq"}}) == "deny"
	decided({"action": {"type": "Network", "operation": "connect"}}) == "allow"
	decided({"action": {"type": "Network", "operation": "close", "provider": "groq"}}) == "allow"
}

test_answers_are_not_judged if {
	decided({"action": {"type": "Response", "provider": "groq"}}) == "allow"
}

test_without_a_list_nobody_is_on_it if {
	providers.decision == "deny" with input as {"action": {"type": "Prompt", "provider": "openai"}}
		with data.providers as {}
}
