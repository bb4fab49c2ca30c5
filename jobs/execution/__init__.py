"""Runs trials, here or through `cluster`. `submission` and the commands import it."""
