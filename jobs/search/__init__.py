"""Search algorithms, schedulers, stages and the next study. It may import `planning`, and `present` for messages."""
