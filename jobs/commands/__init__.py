"""The commands, one per file, each named `command`, with light imports at module level.

Only `conclus.py` imports it.
"""
