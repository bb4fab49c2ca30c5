"""Data sets: from files to arrays, and what is said of them. `evaluation` and what lies above it import it."""
