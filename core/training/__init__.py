"""Trains one trial; `fit` is the main path. It may import `evaluation`, `data` and `config`."""
