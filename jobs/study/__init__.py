"""The study file: what a person writes, read and checked, and what of it may run. It may import `results`."""
