"""Runs trials on this machine or, through `cluster`, on others. It may import `search` and all that `search` may."""
