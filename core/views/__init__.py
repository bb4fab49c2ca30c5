"""One file, one family of views; the class `Views` in it draws a random view of each sample, batched."""
