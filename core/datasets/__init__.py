"""One file, one data set; functions `load` and `fingerprint` in it. See `core.data.dataset`."""
