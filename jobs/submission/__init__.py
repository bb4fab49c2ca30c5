"""Studies that run elsewhere or later: on a cluster, or from a queue. It may import `execution`."""
