"""Running trials, here or through `cluster`. It may import `search` and all that `search` may."""
