"""Conclusions as text: tables and sentences, safe to print. It may import `analysis` and `results`."""
