"""Data sets: reads files into arrays, checks and describes them. It may import `config`."""
