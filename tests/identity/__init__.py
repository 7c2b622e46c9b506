"""Whether agents are told apart: recorded captures with the processes that a scenario needs."""
