"""Import of users' own result tables: reads files, interprets the columns and writes the rows to the results."""
