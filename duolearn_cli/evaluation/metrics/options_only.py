"""What the options give away without the question: a classifier that sees options only, cross-validated over facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

FOLDS = 5
FEATURES = 2**16  # width of the hashed words
# The last position stands for all further ones.
MOST_PLACES = 8


def hits(options: Sequence[Sequence[str]], answers: Sequence[int], facts: Sequence[str]) -> np.ndarray:
    """Whether a classifier that sees only the options finds each item's right one: 1 or 0. Shape: [items].

    A logistic regression tells right from wrong options by their words and word pairs, their length relative to the
    other options, and their position. Its answer is the option with the highest score. Each item is answered by a
    classifier that was trained on other facts. With fewer facts than folds nothing can be learned, and all are 0.

    Args:
        options: the options of each item.
        answers: the position of the right option.
        facts: the fact of each item.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    is_right = np.zeros(len(options))
    if len(set(facts)) < FOLDS:
        return is_right
    owner = np.repeat(np.arange(len(options)), [len(own) for own in options])
    place = np.concatenate([np.arange(len(own)) for own in options])
    right = place == np.asarray(answers)[owner]
    features = _features(options, place)
    # Folds are of whole facts: no phrasing of a tested fact has been trained on.
    for train, test in GroupKFold(FOLDS).split(np.arange(len(options)), groups=np.asarray(facts)):
        of_train, of_test = np.isin(owner, train), np.isin(owner, test)
        model = LogisticRegression(solver="liblinear", random_state=0).fit(features[of_train], right[of_train])
        scores = np.full(len(owner), -np.inf)
        scores[of_test] = model.decision_function(features[of_test])
        for item in test:
            own = owner == item
            is_right[item] = float(right[own][scores[own].argmax()])
    return is_right


def _features(options: Sequence[Sequence[str]], place: np.ndarray) -> Any:
    """One sparse row for each option: hashed words and word pairs, relative length, position."""
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
