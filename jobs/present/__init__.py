"""Conclusions as tables and sentences that are safe to print.

`planning` and what lies above it, and `report`, import it.
"""
