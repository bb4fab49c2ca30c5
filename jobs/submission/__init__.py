"""Studies that run on a cluster or wait in a queue, and the examination of machines. Only commands import it."""
