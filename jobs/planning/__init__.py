"""The trials of a study: their keys, order, data and cost. `search` and the packages above it import it."""
