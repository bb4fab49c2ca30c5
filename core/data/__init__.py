"""Data sets: from files to arrays, and what is said of them. It may import `config`."""
