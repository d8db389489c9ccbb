"""What the options give away without the question: a classifier that never sees it, cross-validated over facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

FOLDS = 5
FEATURES = 2**16
# Places from here on count as one.
MOST_PLACES = 8


def hits(options: Sequence[Sequence[str]], answers: Sequence[int], facts: Sequence[str]) -> np.ndarray:
    """Whether a classifier finds each item's right option among its options alone: 1 or 0. Shape: [items].

    A logistic regression tells right from wrong options by their words and pairs of words, by their length beside that
    of the others, and by their place; the option that it finds most likely is its answer. Each item is answered by one
    that learned from other facts. With fewer facts than folds nothing can be learned: all zeros.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    found = np.zeros(len(options))
    if len(set(facts)) < FOLDS:
        return found
    owner = np.repeat(np.arange(len(options)), [len(own) for own in options])
    place = np.concatenate([np.arange(len(own)) for own in options])
    right = place == np.asarray(answers)[owner]
    features = _features(options, place)
    for learned, asked in GroupKFold(FOLDS).split(np.arange(len(options)), groups=np.asarray(facts)):
        of_learned, of_asked = np.isin(owner, learned), np.isin(owner, asked)
        model = LogisticRegression(solver="liblinear", random_state=0).fit(features[of_learned], right[of_learned])
        scores = np.full(len(owner), -np.inf)
        scores[of_asked] = model.decision_function(features[of_asked])
        for item in asked:
            own = owner == item
            found[item] = float(right[own][scores[own].argmax()])
    return found


def _features(options: Sequence[Sequence[str]], place: np.ndarray) -> Any:
    """A row an option, sparse: hashed words and pairs of words, length beside the item's others, place."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import HashingVectorizer

    words = HashingVectorizer(n_features=FEATURES, ngram_range=(1, 2), alternate_sign=False)
    texts = words.transform([text for own in options for text in own])
    rows = []
    for own in options:
        lengths = np.log1p([len(text) for text in own])
        rows += [(length - lengths.mean(), length == lengths.max(), length == lengths.min()) for length in lengths]
    places = np.eye(MOST_PLACES)[np.minimum(place, MOST_PLACES - 1)]
    return csr_matrix(hstack([texts, csr_matrix(np.asarray(rows, dtype=float)), csr_matrix(places)]))
