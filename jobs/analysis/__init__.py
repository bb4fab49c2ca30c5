"""Analyses of result rows, as numbers, without torch. `present` and all packages above it import it."""
