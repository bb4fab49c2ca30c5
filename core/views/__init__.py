"""Families of views: one file is one family, the class `Views` in it.

They are loaded by name; see `core.training.method`.
"""
