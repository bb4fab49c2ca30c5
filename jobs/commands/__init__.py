"""The commands: one file is one command, `command` in it, with light imports at its top.

Nothing imports it but `conclus.py`.
"""
