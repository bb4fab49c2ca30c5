"""Analyses of result rows: numpy, pyarrow and scipy, no torch."""
