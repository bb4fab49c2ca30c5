"""Studies, plans, trials, results, conclusions and the commands."""
