"""The commands, one per file, each named `command`. At module level, a file imports only light modules."""
