"""The dashboard in a terminal, for SSH: the same source as the page in the browser."""
