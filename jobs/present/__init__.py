"""Results of analyses as tables and sentences that are safe to print, and the options and inputs commands share.

`planning`, the packages above it and `report` import it.
"""
