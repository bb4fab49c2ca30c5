"""Studies: their files, plans, trials, results and analyses, and the commands.

Only `conclus.py` imports it.
"""
