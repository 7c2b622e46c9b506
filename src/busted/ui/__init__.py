"""The dashboard: an HTTP API over what a monitor tells and its history keeps, and its pages."""
