"""Runs studies on a cluster or from a queue, and checks machines. Only commands import it."""
