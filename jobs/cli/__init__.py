"""Options and inputs shared by commands. Only commands import it."""
