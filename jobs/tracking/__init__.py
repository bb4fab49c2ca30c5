"""Trackers: one file is one tracker, the class `Tracker` in it; see `jobs.execution.tracked`."""
