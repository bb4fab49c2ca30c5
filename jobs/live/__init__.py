"""The live page of `conclus serve`: follows result files, and serves what they tell to one browser of this machine."""
