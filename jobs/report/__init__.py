"""A page, a table for a paper, and figures of what a study found. Only commands import it."""
