package busted.loops_test

import data.busted.loops

limits := {"denied_from": 6, "free": ["wait"]}

loop(tool, count) := {"action": {"type": "LoopDetected", "tool": tool, "where": "ToolCall", "count": count}}

decided(given) := answer if answer := loops.decision with input as given with data.loops as limits

test_a_loop_is_audited if {
	decided(loop("search", 5)) == "audit"
	loops.reasons == {"search was called 5 times alike"} with input as loop("search", 5) with data.loops as limits
}

test_one_that_goes_on_is_denied if {
	decided(loop("search", 6)) == "deny"
	decided(loop("search", 100)) == "deny"
}

test_a_tool_may_be_free_to_be_called if {
	decided(loop("wait", 100)) == "allow"
}

test_a_call_by_itself_is_no_loop if {
	decided({"action": {"type": "ToolCall", "name": "search"}}) == "allow"
}
