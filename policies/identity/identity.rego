# Who may talk to models: agents by name, and for each the users and executables it may run as and
# the providers it may ask. What the data does not limit is free. A program that belongs to no listed
# agent gets the decision `others`.
package busted.identity

default decision := "allow"

decision := "deny" if {
	count(violations) > 0
} else := data.identity.others if {
	stranger
}

reasons contains reason if some reason in violations

reasons contains sprintf("%s is no agent that is known", [program]) if stranger

stranger if {
	asks
	not known
}

known := data.identity.agents[input.process.agent]

violations contains sprintf("%s must not run as user %d", [input.process.agent, input.process.uid]) if {
	asks
	not input.process.uid in known.users
	input.process.uid >= 0
	known.users
}

violations contains sprintf("%s must not be %s", [input.process.agent, input.process.exe]) if {
	asks
	known.executables
	input.process.exe
	not executable_listed
}

violations contains sprintf("%s must not ask %s", [input.process.agent, provider]) if {
	asks
	known.providers
	not provider in known.providers
}

executable_listed if {
	some pattern in known.executables
	glob.match(pattern, ["\n"], input.process.exe)
}

asks if input.action.type == "Prompt"

default provider := "an unknown provider"

provider := input.action.provider if input.action.provider

program := input.process.exe if {
	input.process.exe
} else := input.process.name
