"""Encoders: one file is one encoder, the class `Encoder` in it. They are loaded by name; see `core.training.method`."""
