"""Kept weights, and what they map new data to. It may import `results`."""
