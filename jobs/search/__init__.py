"""Which trial, and which study, comes next. `execution` and what lies above it import it."""
