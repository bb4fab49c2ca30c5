"""The study file: reads and checks it, and decides which plug-ins may run.

All packages except `results` and `present` import it.
"""
