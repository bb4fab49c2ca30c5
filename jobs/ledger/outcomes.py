"""Names that mark a column as an outcome, although conclus has no score of that name."""

from __future__ import annotations

from functools import cache

from jobs.analysis.scores import uses_labels

_OF = """
best final last first test val valid validation train training eval dev mean avg average median max maximum min
minimum std stdev stddev sd sem se var variance ci mean_std k means kmeans top overall
"""
_OUTCOMES = """
loss losses error errors err error_rate score scores f_score fscore f_measure fmeasure f1_score f1 precision recall
auc auroc auprc map mrr ndcg r2 mse rmse mae mape sse reward return value values objective metric result results
perplexity ppl bic aic elbo fid psnr ssim bleu rouge iou miou dice jaccard sensitivity specificity inertia
silhouette davies_bouldin calinski_harabasz dbi chi chs sc v_measure homogeneity completeness likelihood std std_dev
deviation gap regret improvement fitness best_epoch best_step best_iter best_iteration top1 top5 top_1 top_5
"""
_SHARES = """
f1 f_score fscore f_measure fmeasure f1_score precision recall auc auroc jaccard top1 top5 top_1 top_5
"""


def core(slug: str) -> str:
    """The name without words such as best, mean or test: `acc` for `best_test_acc` and `acc_std`."""
    words = slug.split("_")
    while len(words) > 1 and words[0] in _words(_OF):
        words = words[1:]
    while len(words) > 1 and words[-1] in _words(_OF):
        words = words[:-1]
    return "_".join(words)


def is_outcome(slug: str) -> bool:
    """Whether the name alone shows that the column is an outcome: `val_loss`, `F-score`, `error`, `best epoch`."""
    bare = core(slug)
    words = {slug, bare, bare.rpartition("_")[2], slug.rpartition("_")[0] if slug.rpartition("_")[2].isdigit() else ""}
    return bool(words & _words(_OUTCOMES))


def is_share(name: str) -> bool:
    """Whether the values, or the spread of such values, are between -1 and 1 by definition."""
    bare = core(name)
    return uses_labels(name) or uses_labels(bare) or bare in _words(_SHARES)


@cache
def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())
