"""Trains one trial: no Ray, no command line, no files but those of data and checkpoints. `jobs` imports it."""
