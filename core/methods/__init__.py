"""Methods: one file is one method, the class `Method` in it. They are loaded by name; see `core.training.method`."""
