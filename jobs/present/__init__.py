"""Results of analyses as tables and sentences that are safe to print. It may import `analysis` and `results`."""
