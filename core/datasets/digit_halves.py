"""Example pairs: the upper half of each handwritten digit, and its lower half as the target.

1797 pairs of 32 numbers each, made from the data set `digits`, which names the source.
"""

from __future__ import annotations

from core.config.schema import Fraction, NonNegativeInt
from core.data.dataset import Dataset, fingerprint_of
from core.data.stored import dense
from core.datasets import digits


def load(*, validation: Fraction = 0.1, test: Fraction = 0.1, split_seed: NonNegativeInt = 0) -> Dataset:
    """Loads the upper halves (1797, 32) in 0..1, the lower halves as the array `target`, and the parts.

    Args:
        validation: the share of the validation part, of the pairs that are not in the test part.
        test: the share of all pairs that is kept for the final score.
        split_seed: the seed of the split; it is not the trial's seed.

    Raises:
        UserError: scikit-learn is not installed, or its file is damaged; or the shares leave too little to train on.
    """
    import numpy as np

    from core.data import splits

    splits.check_shares(validation, test, "data")
    images = dense(digits.load().samples)
    upper, lower = (np.ascontiguousarray(half.reshape(len(images), -1)) for half in np.split(images, 2, axis=2))
    split = splits.drawn(np.zeros(len(images), np.int8), "test", test, split_seed, "digit-halves")
    split = splits.drawn(split, "validation", validation, split_seed, "digit-halves")
    hashed = fingerprint(validation=validation, test=test, split_seed=split_seed)
    return Dataset("digit-halves", upper, None, (), hashed, {"target": lower}, split)


def fingerprint(*, validation: Fraction = 0.1, test: Fraction = 0.1, split_seed: NonNegativeInt = 0) -> str:
    """The hash of the digits' file and of the options.

    Raises:
        UserError: scikit-learn is not installed.
    """
    options = {"validation": validation, "test": test, "split_seed": split_seed}
    return fingerprint_of([], digits=digits.fingerprint(), **options)
