"""Scores, with and without labels. It may import `data` and `losses`."""
