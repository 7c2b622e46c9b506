package busted.hours_test

import data.busted.hours

week := {"days": ["Monday"], "from": 8, "to": 18, "zone": "Europe/Zurich", "decision": "deny"}

event(moment) := {"time": moment, "action": {"type": "Prompt"}}

decided(moment) := answer if answer := hours.decision with input as event(moment) with data.hours as week

test_within_the_hours_of_the_zone_it_is_allowed if {
	decided("2026-11-23T07:00:00.123456789Z") == "allow"
	decided("2026-11-23T16:59:59Z") == "allow"
}

test_before_and_after_it_is_not if {
	decided("2026-11-23T06:59:59Z") == "deny"
	decided("2026-11-23T17:00:00Z") == "deny"
}

test_summer_time_counts if {
	decided("2026-06-01T06:00:00Z") == "allow"
	decided("2026-06-01T16:00:00Z") == "deny"
}

test_another_day_is_none if {
	decided("2026-11-22T10:00:00Z") == "deny"
}

test_the_reason_says_when if {
	said := hours.reasons with input as event("2026-11-23T06:05:00Z") with data.hours as week
	said == {"Monday, 07:05 in Europe/Zurich, is no working hour"}
}

test_answers_may_come_at_any_time if {
	night := {"time": "2026-11-22T03:00:00Z", "action": {"type": "Response"}}
	hours.decision == "allow" with input as night with data.hours as week
}
