"""Scores, with and without labels. `training`, the methods and the estimator import it."""
