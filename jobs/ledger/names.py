# ruff: noqa: RUF001, RUF002 - the signs that people write: full-width, Greek, dashes
"""Maps the names that users give to columns to the column names of the results."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from functools import cache

from core.config import plugins
from core.config.trial import Evaluation, Optimiser, TrialConfig
from core.errors import UserError
from jobs.ledger import outcomes, trackers
from jobs.ledger.cells import normal
from jobs.ledger.durations import UNITS
from jobs.ledger.table import SECTION
from jobs.results.names import METRIC, PARAM

STARTED, SECONDS, SEED, NOTE, IGNORE = "started", "seconds", "seed", "note", "ignore"
STATUS = "status"
PARAMETER, OUTCOME = "parameter", "outcome"

_ALIASES = {
    STARTED: "created created_at datetime_start "
    "日期时间 日期 时间 date time datetime date_time timestamp start started start_time when",
    SECONDS: "seconds duration runtime run_time wall_time elapsed time_total_s 耗时 用时 运行时间 训练时间",
    STATUS: "status state run_status run_state trial_status 状态",
    SEED: "seed random_seed random_state 种子 随机种子",
    NOTE: "note notes remark remarks comment comments log log_dir 备注 说明 日志 picture_below text_below",
    "param.optimiser.learning_rate": "learning_rate lr 学习率 η eta",
    "param.optimiser.weight_decay": "weight_decay wd 权重衰减",
    "param.optimiser.name": "optimizer optimiser 优化器",
    "param.batch_size": "batch_size batch bs 批大小 批量大小 批次大小",
    "param.epochs": "epochs epoch n_epochs num_epochs 轮数 训练轮数",
    "param.n_clusters": "n_clusters num_clusters clusters k 聚类数 簇数 类别数 "
    "topics topic_num num_topics n_topics number_of_topics 主题数",
    "param.method.instance_temperature": "instance_temperature instance_temp 实例温度 tau_i τ_i",
    "param.method.cluster_temperature": "cluster_temperature cluster_temp 聚类温度 簇温度 tau_c τ_c",
    "param.method.temperature": "temperature temp 温度 tau τ",
    "param.method.generator_learning_rate": "generator_learning_rate generator_lr lr_generator g_lr lr_g "
    "learning_rate_of_the_generator generator的学习率 generator学习率 生成器的学习率 生成器学习率",
    "param.method.label_embedding": "label_embedding 标签嵌入",
    "param.method.threshold": "threshold thres thresh 阈值",
    "param.method.name": "method model algorithm 方法 模型 算法",
    "param.data.name": "data dataset data_set 数据 数据集",
    "param.encoder.name": "encoder backbone 编码器 骨干网络 主干网络",
    "metric.loss": "loss train_loss training_loss final_loss 损失 损失值 训练损失",
    "metric.oa": "oa overall_accuracy 总体精度",
    "metric.acc": "acc accuracy clustering_accuracy 准确率 聚类准确率 精度",
    "metric.nmi": "nmi normalized_mutual_information 归一化互信息 标准化互信息",
    "metric.ari": "ari adjusted_rand_index 调整兰德指数 调整兰德系数",
    "metric.fmi": "f fmi f值 fowlkes_mallows",
    "metric.ami": "ami adjusted_mutual_information 调整互信息",
    "metric.f1": "f1 f1_score f1值",
    "metric.macro_f1": "macro_f1 f1_macro 宏f1",
    "metric.pair_f1": "pair_f1 pairwise_f pairwise_f1",
    "metric.purity": "purity pur 纯度",
    "metric.kappa": "kappa κ",
    "metric.balanced_acc": "balanced_acc balanced_accuracy 平衡准确率",
    "metric.kmeans_acc": "kmeans_acc k_means_acc",
    "metric.kmeans_nmi": "kmeans_nmi k_means_nmi",
    "metric.silhouette": "silhouette 轮廓系数",
    "metric.coherence": "coherence topic_coherence 主题一致性",
    "metric.diversity": "diversity topic_diversity 主题多样性",
    "metric.perplexity": "perplexity 困惑度",
}
_BY_ALIAS = {alias: target for target, names in _ALIASES.items() for alias in names.split()}
_CHOICES = {
    "param.method.label_embedding": {"weighted": ("weighted", "加权"), "argmax": ("argmax",)},
}
"""The choices of a parameter, by the words in which sentences tell of them."""
_COHERENCE = ("npmi", "c_v", "c_uci", "uci", "umass", "u_mass")
"""Measures of topics that depend on the corpus they were counted in, which no table tells."""
_USUAL = """
clip grad_clip gradient_clip clip_norm clip_value beta_1 beta_2 beta1 beta2 momentum n_critic hidden_dim
hidden_size latent_dim embedding_dim embed_dim feature_dim projection_dim n_layers num_layers n_heads
num_heads vocab_size max_length n_neighbors n_neighbours warmup warmup_epochs warmup_steps max_epochs
accumulation_steps
"""
"""Common names of hyper-parameters that conclus itself does not have."""
_SECTIONS = {"methods": "method", "encoders": "encoder", "views": "views", "datasets": "data"}
_LONGEST_NAME = 60
_UNIT = re.compile(r"\s*(?:[(\[]\s*([^()\[\]]+?)\s*[)\]]|/\s*(%))\s*$")
_POWER = re.compile(r"[x×*·]?\s*(?:1e([+-]?\d+)|10\s*\^\s*([+-]?\d+))")
_ARROWS = re.compile(r"[↑↓\s]+$")


@dataclass(frozen=True, slots=True)
class Target:
    """The column of the results that a column of the file becomes.

    Attributes:
        key: `param.…`, `metric.…`, `started`, `seconds`, `seed`, `status`, `note` or `ignore`.
        scale: The factor for its numbers: 60 for minutes, 1e-3 for `lr (×1e-3)`.
        percent: Whether the header says that the numbers are percentages.
        known: Whether conclus knows the name, or the user gave it.
    """

    key: str
    scale: float = 1.0
    percent: bool = False
    known: bool = True


def target(header: str) -> Target:
    """The target of a column of this name; an unknown name becomes a parameter of that name."""
    name = trackers.plain(_ARROWS.sub("", normal(header)))
    return _prefixed(name) or _measured(name)


def _prefixed(name: str) -> Target | None:
    """The target given by a tracker's prefix, such as `params_` or `metrics.`; None without one."""
    if rest := trackers.parameter(name):
        return _parameter(rest)
    if rest := trackers.metric(name):
        return _metric(rest)
    return Target(NOTE) if trackers.is_about(name, _slug(name)) else None


def _measured(name: str) -> Target:
    """The target of a column whose name may end in a unit."""
    whole = _slug(name)
    found = _UNIT.search(name)
    if found is None:
        return _target_of(whole)
    unit = _slug(found[1] or found[2]) if (found[1] or found[2]) != "%" else "%"
    bare = _target_of(_slug(_ARROWS.sub("", name[: found.start()])))
    if unit == "%":
        return dataclasses.replace(bare, percent=True)
    if unit in UNITS and bare.key in {STARTED, SECONDS}:
        return dataclasses.replace(bare, key=SECONDS, scale=UNITS[unit])
    if power := _POWER.fullmatch(found[1]):
        return dataclasses.replace(bare, scale=float(f"1e{power[1] or power[2]}"))
    # `学习率 (lr)`: the brackets repeat the name and are not a unit.
    return bare if bare.known and _target_of(unit) == bare else _target_of(whole)


def wanted(name: str, header: str) -> Target:
    """The target that `--map HEADER=name` asks for.

    Raises:
        UserError: There is no such kind of column.
    """
    measured = target(header)
    if name in {STARTED, SECONDS, SEED, STATUS, NOTE, IGNORE}:
        return Target(name, measured.scale)
    if name in {"minutes", "hours"}:
        return Target(SECONDS, UNITS[name])
    if name in {PARAMETER, OUTCOME}:
        found = (_parameter if name == PARAMETER else _metric)(_bare(header))
        return dataclasses.replace(found, scale=measured.scale, percent=measured.percent)
    if name.startswith((PARAM, METRIC)) and re.fullmatch(r"[\w.-]+", name):
        return Target(name, measured.scale, measured.percent)
    found = _target_of(_slug(normal(name)))
    if not found.known:
        raise UserError(
            f"--map {header}={name}: {name!r} is not a known name: write param.NAME or metric.NAME for your own name, "
            f"or {PARAMETER}, {OUTCOME}, {STARTED}, {SECONDS}, {SEED}, {STATUS}, {NOTE} or {IGNORE}."
        )
    return dataclasses.replace(found, scale=measured.scale, percent=measured.percent)


def is_spare(header: str) -> bool:
    """Whether trackers write this column in addition to another column for the start time."""
    return _slug(normal(header)) in {"timestamp", "created", "created_at", "start_time", "time"}


def house_word(key: str, word: str) -> str:
    """A plug-in's or optimiser's name in conclus's spelling, `cc` for `CC`; any other word unchanged."""
    spelled = "-".join(normal(word).replace("_", " ").split())
    return spelled if spelled in _words().get(key.removeprefix(PARAM), ()) else word


def is_method(word: str) -> bool:
    """Whether the word is the name of one of conclus's methods, such as `CC`."""
    key = f"{PARAM}method.name"
    return house_word(key, word) in _words()[key.removeprefix(PARAM)]


def named_at_end(text: str) -> tuple[str, str] | None:
    """The longest name of a parameter at the end of a sentence, and its key: `lr` of `we set the lr`; else None."""
    text = text[-_LONGEST_NAME:]
    for at in range(len(text)):
        if at and _is_inside_word(text[at - 1 : at + 1]):
            continue
        found = _target_of(_slug(normal(text[at:])))
        if found.known and found.key.startswith(PARAM):
            return text[at:].strip(), found.key
    return None


def choice(key: str, sentence: str) -> str:
    """The choice of a parameter that a sentence tells of; empty for none, or for more than one."""
    found = [one for one, words in _CHOICES.get(key, {}).items() if any(word in normal(sentence) for word in words)]
    return found[0] if len(found) == 1 else ""


def _is_inside_word(pair: str) -> bool:
    return all(sign.isascii() and (sign.isalnum() or sign == "_") for sign in pair)


def _target_of(slug: str) -> Target:
    if slug == SECTION:
        return Target(PARAM + SECTION, known=False)
    if slug in _BY_ALIAS:
        return Target(_BY_ALIAS[slug])
    if slug in _keys() or slug in _USUAL.split():
        return Target(PARAM + _keys().get(slug, slug))
    bare = outcomes.core(slug)
    if bare in _COHERENCE:
        return Target(f"{METRIC}reported_{slug}")
    if outcomes.is_outcome(slug) or _BY_ALIAS.get(bare, "").startswith(METRIC):
        return Target(METRIC + slug)
    return Target(PARAM + slug, known=False)


def _parameter(name: str) -> Target:
    """The target of a parameter column: `lr`, `optimiser.learning_rate`, `optimiser/lr`, or any other name."""
    ending = re.split(r"[./]", re.sub(r"[./]name$", "", name))[-1]
    for whole in (name, ending):
        found = _target_of(_slug(whole))
        if found.known and found.key.startswith(PARAM):
            return found
        if found.key == SEED:
            return found
    return Target(PARAM + ".".join(_slug(part) for part in re.split(r"[./]", name)))


def _metric(name: str) -> Target:
    """The target of a column that is an outcome."""
    unit = _UNIT.search(name)
    found = _target_of(_slug(name[: unit.start()] if unit else name))
    percent = unit is not None and "%" in unit[0]
    if found.key == SECONDS:
        return found
    return Target(found.key if found.key.startswith(METRIC) else METRIC + _slug(name), percent=percent)


def _bare(header: str) -> str:
    """The header without its unit."""
    name = trackers.plain(_ARROWS.sub("", normal(header)))
    found = _UNIT.search(name)
    return name[: found.start()] if found and _slug(name[: found.start()]) else name


def _slug(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_")


@cache
def _keys() -> dict[str, str]:
    """The short names of all options of a study file that belong to one key only, with that key."""
    keys = {field.name for field in dataclasses.fields(TrialConfig)}
    keys |= {f"optimiser.{field.name}" for field in dataclasses.fields(Optimiser)}
    keys |= {f"evaluation.{field.name}" for field in dataclasses.fields(Evaluation)}
    for kind, section in _SECTIONS.items():
        for name in plugins.names(kind):
            keys |= {f"{section}.{option.name}" for option in plugins.options(kind, name)}
    keys -= {"name", "every"}
    endings: dict[str, set[str]] = {}
    for key in keys:
        endings.setdefault(key.rpartition(".")[2], set()).add(key)
    return {ending: next(iter(found)) for ending, found in endings.items() if len(found) == 1}


@cache
def _words() -> dict[str, tuple[str, ...]]:
    return {f"{section}.name": plugins.names(kind) for kind, section in _SECTIONS.items()} | {
        "optimiser.name": ("adam", "adamw")
    }
