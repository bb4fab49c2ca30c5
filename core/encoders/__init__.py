"""One file, one encoder: the class `Encoder` in it, a module with `dim`, the number of its features."""
