# Agents that go round in circles: the same tool with the same arguments, again and again. What
# Busted counts as a loop ([loops] in its configuration) is audited; from so many calls on the call
# is denied. A tool that is called to wait for something may be free to be called.
package busted.loops

default decision := "allow"

decision := "deny" if {
	loops
	input.action.count >= data.loops.denied_from
} else := "audit" if {
	loops
}

reasons contains sprintf("%s was called %d times alike", [input.action.tool, input.action.count]) if loops

loops if {
	input.action.type == "LoopDetected"
	not input.action.tool in data.loops.free
}
