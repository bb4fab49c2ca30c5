"""Machines, not clustering: where trials run. Knows no study and no torch; is handed a callable and tasks."""
