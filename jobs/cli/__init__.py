"""Options and inputs shared by commands. It may import `present` and `study`."""
