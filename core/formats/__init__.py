"""The formats of data files, one module for each or for a family of them. `datasets` and `jobs` import it."""
