"""Runs trials: here, through `cluster`, or from a queue; and checks the machines for it. The commands import it."""
