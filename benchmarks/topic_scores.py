"""CPU seconds of the coherence of topics, beside gensim's on the same made-up texts; and memory for a large corpus.

Run: OMP_NUM_THREADS=1 uv run python benchmarks/topic_scores.py. Words follow a Zipf law, topics are random sets of 10
words (15 for NPMI). Gensim runs in one process on 2,000 documents: its time grows with the number of windows. Exit code
1 if C_V or UCI take more than a tenth of gensim's time, if NPMI of 100 topics among 18,846 documents and 5,000 words
takes a second, or if 200,000 documents and 20,000 words take more than 2 GB.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.rows import tell
from core.data.corpus import Corpus
from core.evaluation.coherence import by_documents, by_windows, c_v, npmi, presence, uci, umass


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of `work`."""
    start = time.process_time()
    work()
    return time.process_time() - start


def corpus(n: int, words: int, length: int, seed: int = 0) -> Corpus:
    """Documents of about `length` words."""
    draw = np.random.default_rng(seed)
    shares = np.arange(1, words + 1) ** -0.9
    lengths = draw.poisson(length, n)
    found = np.searchsorted(np.cumsum(shares / shares.sum()), draw.random(lengths.sum())).clip(0, words - 1)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    counts = sparse.csr_matrix((np.ones(len(found), np.int32), found.astype(np.int32), ends), shape=(n, words))
    counts.sum_duplicates()
    return Corpus("made", counts, found.astype(np.int32), ends)


def topics(k: int, words: int, top: int) -> NDArray[np.int64]:
    """K sets of words of the more frequent half."""
    draw = np.random.default_rng(1)
    return np.stack([draw.permutation(words // 2)[:top] for _ in range(k)])


def of_gensim(texts: Corpus, words: NDArray[np.int64], measure: str) -> float:
    """CPU seconds of gensim's measure, counting and scoring."""
    from gensim.corpora import Dictionary
    from gensim.models import CoherenceModel

    order, ends = np.asarray(texts.sequence), np.asarray(texts.ends)
    named = [[f"w{word}" for word in one] for one in np.split(order, ends[1:-1])]
    dictionary = Dictionary([[f"w{word}" for word in range(texts.values.shape[1])]])
    model = CoherenceModel(
        topics=[[f"w{word}" for word in one] for one in words],
        texts=named,
        corpus=[dictionary.doc2bow(one) for one in named],
        dictionary=dictionary,
        coherence=measure,
        topn=words.shape[1],
        processes=1,
    )
    return seconds(model.get_coherence_per_topic)


def main() -> None:
    """Prints and stores the rows."""
    missed = False
    small, chosen = corpus(2000, 5000, 90), topics(20, 5000, 10)
    for name, measure, work in (
        ("UMass", "u_mass", lambda: umass(by_documents(presence(small), chosen))),
        ("C_V", "c_v", lambda: c_v(by_windows(small, chosen, 110))),
        ("UCI", "c_uci", lambda: uci(by_windows(small, chosen, 10))),
    ):
        own, other = seconds(work), of_gensim(small, chosen, measure)
        missed |= measure != "u_mass" and other / own < 10
        what = f"{name} of 20 topics, 2,000 documents of 90 words: gensim's time over ours"
        tell(what, f"{other / own:.0f} ({other:.2f} s over {own:.3f} s)")
    for n, words, k in ((18846, 5000, 20), (18846, 5000, 100), (200_000, 20_000, 100)):
        many, of = corpus(n, words, 90), topics(k, words, 15)
        present = presence(many)
        by_document = seconds(lambda present=present, of=of: npmi(by_documents(present, of)))
        wide = seconds(lambda many=many, of=of: c_v(by_windows(many, of[:, :10], 110)))
        narrow = seconds(lambda many=many, of=of: uci(by_windows(many, of[:, :10], 10)))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        missed |= (n == 18846 and by_document >= 1) or memory > 2
        what = f"NPMI, C_V and UCI of {k} topics, {n:,} documents of 90 words, {words:,} words"
        tell(what, f"{by_document:.2f} s, {wide:.2f} s and {narrow:.2f} s, at most {memory:.2f} GB")
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
