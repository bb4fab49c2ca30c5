"""Which trial, and which study, comes next. It may import `planning`, and `present` for what it says."""
