"""Kept weights, and vectors of new data by them. `execution` and the commands import it."""
