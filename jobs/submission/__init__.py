"""Runs studies on a cluster or from a queue, and checks machines. It may import `execution`."""
