"""The trials of a study, all at once or one after another: keys, order, data, cost, search algorithms, stages.

`execution` and the packages above it import it.
"""
