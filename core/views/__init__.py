"""One file, one family of views: the class `Views` in it, which draws a random view of each sample of a batch."""
