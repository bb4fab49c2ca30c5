"""Reads files in the format of SVMlight and LIBSVM: a label, then `index:value` of what is not zero."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from core.data.columns import Part, Wanted, check_named
from core.data.dataset import fault
from core.data.stored import WHOLE

if TYPE_CHECKING:
    from pathlib import Path


def read(file: Path, wanted: Wanted) -> Part:
    """Reads a file of sparse rows. Comments and query ids (`qid:3`) are passed over.

    Returns:
        Samples (n, features), a matrix in CSR where they are many; labels (n,), unless `labels` is `none`.

    Raises:
        UserError: a line is of another form, or an option names a column.
        ValueError, OSError: the file is damaged.
    """
    from sklearn.datasets import load_svmlight_file

    check_named(file, wanted, ())
    if wanted.labels not in {None, "none"}:
        raise fault(file, f"`labels: {wanted.labels}` names no column: the labels are the first number of each line")
    from_zero: Any = True  # sklearn's own guess counts the same index differently in two files of a folder
    try:
        found: Any = load_svmlight_file(str(file), zero_based=from_zero, query_id=True)
    except (ValueError, IndexError, OverflowError) as error:
        # sklearn shows a text as Python's bytes.
        reason = " ".join(str(error).split()).replace(": b'", ": '")[:200]
        raise fault(file, f"a line is not of the form `label index:value index:value …` ({reason})") from error
    samples, labels, queries = found
    first = int(samples.nnz and samples.indices.min() > 0)
    samples = samples[:, first:]
    return Part(
        file,
        samples if math.prod(samples.shape) > WHOLE else samples.toarray(),
        None if wanted.labels == "none" else labels,
        left_out=("qid (numbers of queries)",) if len(queries) else (),
        notes=(f"indices count from {first}",),
        first_index=first,
    )
