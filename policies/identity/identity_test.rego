package busted.identity_test

import data.busted.identity

list := {
	"agents": {
		"codex": {"users": [1000], "executables": ["/usr/bin/*"], "providers": ["openai"]},
		"aider": {},
	},
	"others": "deny",
}

codex := {"pid": 1, "name": "codex", "agent": "codex", "uid": 1000, "exe": "/usr/bin/codex"}

event(process, provider) := {"process": process, "action": {"type": "Prompt", "provider": provider}}

decided(given) := answer if answer := identity.decision with input as given with data.identity as list

said(given) := answer if answer := identity.reasons with input as given with data.identity as list

test_a_listed_agent_is_allowed if {
	decided(event(codex, "openai")) == "allow"
}

test_what_is_not_limited_is_free if {
	decided(event({"name": "aider", "agent": "aider", "uid": 0}, "groq")) == "allow"
}

test_another_user_is_denied if {
	given := event(object.union(codex, {"uid": 0}), "openai")
	decided(given) == "deny"
	said(given) == {"codex must not run as user 0"}
}

test_another_executable_is_denied if {
	given := event(object.union(codex, {"exe": "/tmp/codex"}), "openai")
	decided(given) == "deny"
	said(given) == {"codex must not be /tmp/codex"}
}

test_another_provider_is_denied if {
	given := event(codex, "groq")
	decided(given) == "deny"
	said(given) == {"codex must not ask groq"}
}

test_others_get_what_the_data_says if {
	given := event({"name": "curl", "exe": "/usr/bin/curl"}, "openai")
	decided(given) == "deny"
	said(given) == {"/usr/bin/curl is no agent that is known"}
}

test_only_requests_are_judged if {
	decided({"process": {"name": "curl"}, "action": {"type": "Response"}}) == "allow"
}
