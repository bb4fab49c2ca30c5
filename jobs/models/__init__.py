"""What a trial leaves beside its row: its samples' clusters, weights, vectors. `execution` and commands import it."""
