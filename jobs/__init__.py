"""Studies: their files, plans, trials, results and conclusions, and the commands.

Nothing imports it but `conclus.py`.
"""
