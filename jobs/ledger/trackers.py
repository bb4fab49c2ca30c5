"""Names of columns and of final states in exports of W&B, Optuna, Ray Tune and MLflow."""

from __future__ import annotations

import re
from functools import cache

_PARAMS = re.compile(r"(?:params_|(?:params?|config|hparams?|hyperparameters)[./])(.+)")
_METRICS = re.compile(r"(?:metrics?|summary|best)[./](.+)")
_PLAIN = re.compile(r"user_attrs[_./](.+)")
_ABOUT = re.compile(r"(?:system_attrs[_./]|tags[./]|(?:health|mean5)\.|_).*")
_META = """
name run_name display_name run run_number trial trial_name trial_number number id ids uuid run_id
run_uuid trial_id trial_key config_key attempt_id experiment experiment_id experiment_name
experiment_tag exp exp_name exp_id job job_id job_name job_type group sweep sweep_id sweep_name tags tag
user username author owner entity project description hostname host node node_ip pid updated updated_at
modified finished finished_at ended end end_time end_date datetime_complete completed_at artifact_uri
artifact_location lifecycle_stage source source_name source_type source_version version commit
commit_hash git git_commit git_sha sha branch checkpoint checkpoint_path checkpoint_dir
checkpoint_dir_name logdir command program path url link os python gpu gpu_type gpu_name gpu_count
cpu_count done should_checkpoint training_iteration iterations_since_restore time_this_iter_s
time_since_restore timesteps_total timesteps_since_restore episodes_total warmup_time index idx row no
nr unnamed_0 line rank code_hash protocol plug_ins_json data_hash env_hash ray_trial_id report_uri preempting restored
by own_seconds heartbeat 编号 序号 名称 用户 主机 实验名称 实验编号
"""
_ENDS = {
    "ok": "finished finish completed complete done success successful succeeded ok terminated passed 完成 已完成 成功",
    "failed": "failed fail failure crashed crash error errored oom out_of_memory node_fail killed kill "
    "preempted preempting cancelled canceled aborted abort interrupted diverged timeout timed_out 失败 崩溃 终止",
    "stopped": "pruned stopped early_stopped 停止",
    "open": "running pending waiting scheduled queued paused starting started initialized created resuming unfinished "
    "in_progress 运行中 等待",
}
_STATUS = {word: status for status, words in _ENDS.items() for word in words.split()}


def parameter(name: str) -> str | None:
    """The parameter's name after a prefix: `lr` for `params_lr`, `config/lr`, `params.lr`; None without a prefix."""
    found = _PARAMS.fullmatch(name)
    return found[1] if found else None


def metric(name: str) -> str | None:
    """The outcome's name after a prefix: `acc` for `metrics.acc`; None without a prefix."""
    found = _METRICS.fullmatch(name)
    return found[1] if found else None


def plain(name: str) -> str:
    """The name without a prefix that has no meaning, such as `user_attrs_`."""
    found = _PLAIN.fullmatch(name)
    return found[1] if found else name


def is_about(name: str, slug: str) -> bool:
    """Whether the column describes the run and is neither a parameter nor an outcome."""
    return slug in _words(_META) or bool(_ABOUT.fullmatch(name)) or not slug


def status(word: str) -> tuple[str, str]:
    """The final state of a run and the reason: `ok` and an empty text, or `failed` or `stopped` and the word.

    `stopped` means that a scheduler stopped the run early, so its last scores count. A run that was killed, or had not
    ended when the table was made, is `failed`: its scores do not count.

    Raises:
        ValueError: No tracker uses the word.
    """
    slug = re.sub(r"\W+", "_", word.strip().lower().rpartition(".")[2]).strip("_")
    found = _STATUS.get(slug)
    if found is None:
        raise ValueError(f"{word!r} is not a final state such as finished, failed, crashed, killed, pruned or running")
    if found == "open":
        return "failed", f"it was {slug.replace('_', ' ')} when the table was made"
    return found, "" if found == "ok" else slug


def failure(cell: str) -> str:
    """Why a run has no score, where a cell of scores says that it failed (`OOM`, `crashed`); else empty."""
    try:
        found, reason = status(cell)
    except ValueError:
        return ""
    return reason if found == "failed" else ""


@cache
def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())
