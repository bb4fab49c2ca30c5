"""Charts as Altair declares them, one file for each kind. `report` and commands import it."""
