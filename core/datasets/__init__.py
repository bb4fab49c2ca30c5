"""One file, one data set: the functions `load` and `fingerprint` in it. See `core.data.dataset`."""
