"""From rows to conclusions: numpy, pyarrow and scipy, no torch."""
