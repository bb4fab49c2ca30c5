"""One file, one command: `command` in it; only click and the standard library at module level."""
