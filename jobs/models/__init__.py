"""Saved weights of trials, and vectors of new data from them. It may import `results`."""
