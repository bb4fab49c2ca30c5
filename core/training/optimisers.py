"""Adam and AdamW as torch has them, less the import of its compiler, which nothing here uses.

Torch guards every call of an optimiser against being compiled, and imports the compiler for that: at the first call, in
each process, 2.5 s of a core and 150 MiB.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer


def _unguarded(kind: type[Optimizer]) -> dict[str, Callable[..., Any]]:
    """What torch guards of this kind, without; its own guard of `step` turns gradients off, as `no_grad` does."""
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return plain | {"step": torch.no_grad()(inspect.unwrap(kind.step))}


Adam = type("Adam", (torch.optim.Adam,), _unguarded(torch.optim.Adam))
AdamW = type("AdamW", (torch.optim.AdamW,), _unguarded(torch.optim.AdamW))
