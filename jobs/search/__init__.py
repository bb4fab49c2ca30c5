"""Search algorithms, schedulers, stages and the next study. `execution` and the packages above it import it."""
