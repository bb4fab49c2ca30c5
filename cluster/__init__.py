"""Machines, not clustering: runs tasks on this machine or on a Ray cluster. It imports neither studies nor torch."""
