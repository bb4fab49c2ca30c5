"""The number format of training: bf16 for the networks where it is fast, f32 for everything else.

With `bf16` the modules of a method compute in bfloat16 while they train (torch's autocast). Weights, their gradients
and the optimiser stay in f32, and so do the views before the modules and the softmax, similarities, log-sum-exp and
losses after them. In evaluation mode the modules compute in f32, also for scores and for labels that a method gives
itself. A CPU without bf16 instructions (avx512_bf16, amx_bf16) computes convolutions in bf16 many times slower than in
f32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from core.config import plugins
from core.config.trial import TrialConfig
from core.training.frozen import is_frozen
from core.training.method import Method

Precision = Literal["f32", "bf16"]


def resolve(config: TrialConfig, device: torch.device) -> Precision:
    """The number format of a trial on a device.

    `auto` is bf16 if the hardware has it (an Nvidia card of compute capability 8.0 or more, a CPU with avx512_bf16 or
    amx_bf16) and the encoder is trained and gains from it (`Encoder.gains_from_bf16`: networks for images), and f32
    otherwise.
    """
    if config.precision != "auto":
        return config.precision
    if is_frozen(config):
        return "f32"
    encoder = plugins.load("encoders", config.encoder.name)
    return "bf16" if encoder.gains_from_bf16 and _has_bf16(device) else "f32"


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and any(cpu_capabilities().get(name) for name in _CPU_BF16)


_CPU_BF16 = ("avx512_bf16", "amx_bf16")


def cpu_capabilities() -> Mapping[str, Any]:
    """The CPU's instruction sets by name, as torch reports them; empty for torch before 2.11, which cannot."""
    return getattr(torch.cpu, "get_capabilities", dict)()


def train_in_bf16(method: Method, device: torch.device) -> None:
    """Makes the method's modules compute in bf16 while they train; their outputs are f32."""
    for module in method.children():
        _lower(module, device.type)


def _lower(module: nn.Module, device: str) -> None:
    if isinstance(module, nn.ModuleList | nn.ModuleDict):  # containers are not called
        for inner in module.children():
            _lower(inner, device)
        return
    full = module.forward

    def forward(*inputs: Any, **options: Any) -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=module.training):
            return _full(full(*inputs, **options))

    module.forward = forward


def _full(value: Any) -> Any:
    """A bf16 tensor, or each one in a tuple, as f32."""
    if isinstance(value, tuple):
        return tuple(map(_full, value))
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value
