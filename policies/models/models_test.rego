package busted.models_test

import data.busted.models

list := {"allowed": {"openai": ["gpt-4o*", "o3"], "unknown": ["local"]}}

decided(action) := answer if answer := models.decision with input as {"action": action} with data.models as list

test_a_listed_model_is_allowed if {
	decided({"type": "Prompt", "provider": "openai", "model": "gpt-4o-mini"}) == "allow"
	decided({"type": "Prompt", "provider": "openai", "model": "o3"}) == "allow"
}

test_another_is_denied if {
	decided({"type": "Prompt", "provider": "openai", "model": "o3-pro"}) == "deny"
	decided({"type": "Prompt", "provider": "groq", "model": "o3"}) == "deny"
}

test_the_reason_names_it if {
	models.reasons == {"model o1 of openai is not on the list"} with data.models as list
		with input as {"action": {"type": "Prompt", "provider": "openai", "model": "o1"}}
}

test_no_model_is_no_listed_model if {
	decided({"type": "Prompt", "provider": "openai"}) == "deny"
}

test_what_serves_it_may_be_unknown if {
	decided({"type": "Prompt", "model": "local"}) == "allow"
}

test_only_requests_are_judged if {
	decided({"type": "Response", "provider": "openai", "model": "o3-pro"}) == "allow"
}
