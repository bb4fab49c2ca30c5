"""The trials of a study: their keys, order, data and cost. It may import `study` and `analysis`."""
