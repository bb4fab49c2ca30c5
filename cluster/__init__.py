"""Machines, not clustering: where trials run.

It knows no study and no torch, and is handed a callable and tasks. `jobs` imports it.
"""
