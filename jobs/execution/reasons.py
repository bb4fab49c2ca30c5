"""What the reason of a row says: codes, several of them joined."""

from __future__ import annotations

_REFUSED = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def joined(*reasons: str) -> str:
    """The reasons that are not empty, in one text."""
    return "; ".join(filter(None, reasons))


def kind(error: Exception) -> str:
    """The reason code of an exception from training."""
    # Out of memory, torch's CPU allocator raises a plain RuntimeError, and CUDA libraries raise errors of their own.
    refused = isinstance(error, RuntimeError) and any(words in str(error) for words in _REFUSED)
    # torch's own class, by its name: only the trial itself imports torch.
    is_torchs = any(one.__name__ == "OutOfMemoryError" for one in type(error).__mro__)
    return "OUT_OF_MEMORY" if refused or is_torchs or isinstance(error, MemoryError) else "ERROR"
