"""Runs a study that asks for GPUs on a machine without one."""

from __future__ import annotations

from dataclasses import replace

from cluster.resources import this_machine
from jobs.study.study import Study

NO_CARD = "the study's trials ask for a GPU, but this machine has none (see nvidia-smi, CUDA_VISIBLE_DEVICES)"


def without_card(study: Study) -> bool:
    """Whether a study asks for a GPU and this machine has none."""
    return bool(study.resources.gpu) and not this_machine().gpu


def on_cpu(study: Study) -> Study:
    """The study without its GPU, and without a budget of card-hours, as it uses none."""
    return replace(study, resources=replace(study.resources, gpu=0.0), budget=replace(study.budget, gpu_hours=None))
