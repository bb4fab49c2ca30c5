"""From a study to its trials: their keys, their order, their data and their cost.

`search` and what lies above it import it.
"""
