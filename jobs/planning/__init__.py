"""From a study to its trials: their keys, their order, their data, their cost. It may import `study` and `analysis`."""
