"""The study file: what a person writes, read and checked, and which plug-ins of it may run.

All packages import it but `results` and `present`.
"""
