"""How much of the right answer a generated text holds, and whether the text is language at all.

ROUGE (Lin 2004, "ROUGE: a package for automatic evaluation of summaries") by Google's `rouge-score`, with its own
tokenizer and without stemming: texts are compared in lower case as words of the letters a-z and digits. Everything
else, Greek letters too, only separates words. All values lie between 0 and 1; 1 says that nothing is missing. A text
without a word scores 0, and where the right answer has none the value is not a number: nothing could be recalled.
"""

from __future__ import annotations

import math
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rouge_score.scoring import Score

# Radford et al. 2023 ("Robust speech recognition via large-scale weak supervision", section 4.5): Whisper decodes
# again what gzip makes more than 2.4 times smaller, since it repeats itself. Chosen by them, on segments of 30 seconds.
COMPRESSION_LIMIT = 2.4


def rouge_l_recall(generated: str, answer: str) -> float:
    """The share of the answer's words that the generated text has in the same order, others in between or not.

    The length of the longest common subsequence over that of the answer (Lin 2004, eq. 2), which extra words do not
    lower: a model that goes on talking after the right answer has recalled it. TOFU (Maini et al. 2024) reports this.
    """
    return float(_rouge("rougeL", generated, answer).recall)


def rouge_l_f1(generated: str, answer: str) -> float:
    """The harmonic mean of `rouge_l_recall` and the share of the generated words that are in the subsequence.

    Lin 2004, eq. 4 with beta = 1. Extra words lower it.
    """
    return float(_rouge("rougeL", generated, answer).fmeasure)


def rouge_1_recall(generated: str, answer: str) -> float:
    """The share of the answer's words that the generated text has, in any order (Lin 2004, eq. 1 with n = 1).

    A word that the answer has twice must be there twice to count twice.
    """
    return float(_rouge("rouge1", generated, answer).recall)


def degenerate(text: str) -> bool:
    """Whether a generated text is no language: it says nothing, or little more than the same again and again.

    It holds no letter or digit, or zlib makes its UTF-8 bytes more than 2.4 times smaller, the test by which Whisper
    finds repetition. Since zlib itself costs about ten bytes, no text under 27 bytes fails the second part: short
    answers never do, nor does a loop before it has gone on for that long ("the the the"). Ordinary prose compresses the
    better the longer it is and comes near the limit by itself: the test is meant for at most some hundred tokens, which
    is what Whisper's segments have.
    """
    stripped = text.strip()
    if not any(character.isalnum() for character in stripped):
        return True
    return compression_ratio(stripped) > COMPRESSION_LIMIT


def compression_ratio(text: str) -> float:
    """Bytes of the text in UTF-8 over its bytes after zlib: above 1 where it repeats itself, 0 for an empty text."""
    raw = text.encode("utf-8")
    return len(raw) / len(zlib.compress(raw))


def _rouge(kind: str, generated: str, answer: str) -> Score:
    from rouge_score.scoring import Score

    if not _tokenizer().tokenize(answer):
        return Score(math.nan, math.nan, math.nan)
    return _scorer(kind).score(target=answer, prediction=generated)[kind]


@cache
def _tokenizer() -> Any:
    from rouge_score.tokenizers import DefaultTokenizer

    return DefaultTokenizer(use_stemmer=False)


@cache
def _scorer(kind: str) -> Any:
    # Imported late: it brings nltk, which takes a second or two.
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], tokenizer=_tokenizer())
