package busted_test

import data.busted

event(action) := {"process": {"pid": 1, "name": "agent"}, "connection": {"id": "1"}, "action": action}

prompt := {"type": "Prompt", "api": "openai.chat", "provider": "openai", "bytes": 10}

with_pii(kind) := object.union(prompt, {"pii": [{"kind": kind, "start": 0, "end": 9, "where": "user_message"}]})

test_a_prompt_is_audited if {
	busted.decision == "audit" with input as event(prompt)
	busted.reasons == {"Prompt of openai"} with input as event(prompt)
}

test_a_key_in_a_prompt_is_denied if {
	busted.decision == "deny" with input as event(with_pii("openai_key"))
	busted.reasons == {"openai_key in Prompt leaves this host"} with input as event(with_pii("openai_key"))
}

test_a_key_in_a_tool_result_is_denied if {
	action := {"type": "ToolResult", "pii": [{"kind": "openai_key", "start": 0, "end": 9}]}
	busted.decision == "deny" with input as event(action)
}

test_a_key_in_a_message_to_another_agent_is_denied if {
	action := {"type": "A2aRequest", "pii": [{"kind": "openai_key", "start": 0, "end": 9}]}
	busted.decision == "deny" with input as event(action)
}

test_a_key_in_an_answer_has_left_nobody if {
	action := {"type": "Response", "pii": [{"kind": "openai_key", "start": 0, "end": 9}]}
	busted.decision == "audit" with input as event(action)
}

test_personal_data_is_audited_and_told if {
	busted.decision == "audit" with input as event(with_pii("email"))
	busted.reasons == {"personal data (email) in Prompt"} with input as event(with_pii("email"))
}

test_what_is_no_ai_is_allowed if {
	busted.decision == "allow" with input as event({"type": "Network", "operation": "connect"})
	busted.decision == "allow" with input as {}
}
