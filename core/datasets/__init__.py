"""Data sets: one file is one data set, `load` and `fingerprint` in it.

They are loaded by name; see `core.data.dataset`.
"""
