# Agents work when people do: outside of these hours and days their requests are audited, or denied
# if the data says so. Judged by when it happened, in the zone of the data.
package busted.hours

default decision := "allow"

decision := data.hours.decision if outside

reasons contains sprintf("%s, %02d:%02d in %s, is no working hour", [day, hour, minute, zone]) if outside

outside if {
	asks
	not working
}

asks if input.action.type in {"Prompt", "McpRequest"}

working if {
	day in data.hours.days
	hour >= data.hours.from
	hour < data.hours.to
}

zone := data.hours.zone

moment := [time.parse_rfc3339_ns(input.time), zone]

hour := time.clock(moment)[0]

minute := time.clock(moment)[1]

day := time.weekday(moment)
