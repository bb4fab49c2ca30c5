"""Import of users' own result tables, column by column, into the results. Only commands import it."""
