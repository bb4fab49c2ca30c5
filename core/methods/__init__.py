"""One file, one method: the class `Method` in it. See `core.training.method`."""
