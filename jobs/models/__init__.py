"""Saved weights of trials, and vectors of new data from them. `execution` and the commands import it."""
