"""Results of analyses as tables and sentences that are safe to print.

`planning`, the packages above it and `report` import it.
"""
