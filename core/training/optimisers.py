"""Torch's Adam and AdamW without the import of torch's compiler, which is not used here.

Torch excludes every call of an optimiser from compilation, and imports the compiler for that. The first call in each
process would cost 2.5 s of a core and 150 MiB.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


def _unguarded(kind: type[Optimizer]) -> dict[str, Callable[..., Any]]:
    """The methods that torch excludes from compilation, without this wrapper; `step` still needs `no_grad`."""
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return plain | {"step": torch.no_grad()(inspect.unwrap(kind.step))}


Adam = type("Adam", (torch.optim.Adam,), _unguarded(torch.optim.Adam))
AdamW = type("AdamW", (torch.optim.AdamW,), _unguarded(torch.optim.AdamW))


def groups(modules: nn.Module, apart: type[nn.Module], rate: float, own_rate: float | None) -> list[dict[str, Any]]:
    """The parameters of modules in groups with their learning rates, as optimisers take them.

    Args:
        modules: whose parameters are trained.
        apart: the class of modules inside whose parameters have a learning rate of their own.
        rate: the learning rate.
        own_rate: that of the modules of this class; None for one group of all parameters.
    """
    if own_rate is None:
        return [{"params": list(modules.parameters()), "lr": rate}]
    inner = [parameter for one in modules.modules() if isinstance(one, apart) for parameter in one.parameters()]
    known = set(map(id, inner))
    others = [one for one in modules.parameters() if id(one) not in known]
    return [{"params": part, "lr": its} for part, its in ((others, rate), (inner, own_rate)) if part]
