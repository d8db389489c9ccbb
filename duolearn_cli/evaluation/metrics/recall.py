"""How much of the right answer a generated text contains, and whether the text is language at all.

ROUGE (Lin 2004, "ROUGE: a package for automatic evaluation of summaries") is computed by Google's `rouge-score`, with
its own tokenizer and no stemming: texts are compared in lower case as words of the letters a-z and digits. Every other
character, Greek letters included, only separates words. Values lie between 0 and 1, where 1 means that nothing is
missing. A generated text without words scores 0. If the right answer has no words, the value is NaN.
"""

from __future__ import annotations

import math
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rouge_score.scoring import Score

# Whisper decodes a text again if gzip compresses it more than 2.4 times, since it then repeats itself (Radford et al.
# 2023, "Robust speech recognition via large-scale weak supervision", section 4.5). They chose the limit on segments of
# 30 seconds.
COMPRESSION_LIMIT = 2.4


def rouge_l_recall(generated: str, answer: str) -> float:
    """ROUGE-L recall: the share of the answer's words that the generated text has in the same order, with gaps allowed.

    The length of the longest common subsequence divided by the length of the answer (Lin 2004, eq. 2). It ignores extra
    words: a model that goes on after the right answer has still recalled it. TOFU (Maini et al. 2024) reports this.
    """
    return float(_rouge("rougeL", generated, answer).recall)


def rouge_l_f1(generated: str, answer: str) -> float:
    """ROUGE-L F1: the harmonic mean of `rouge_l_recall` and the share of generated words that are in the subsequence.

    Lin 2004, eq. 4 with beta = 1. Extra words lower it.
    """
    return float(_rouge("rougeL", generated, answer).fmeasure)


def degenerate(text: str) -> bool:
    """Whether a generated text is degenerate: it says nothing, or repeats itself.

    It has no letter or digit, or zlib compresses its UTF-8 bytes more than `COMPRESSION_LIMIT` times, which is
    Whisper's test for repetition. zlib's own overhead is about ten bytes, so no text under 27 bytes fails the second
    test: short answers never do, and a loop ("the the the") only once it is that long. Long ordinary prose compresses
    well, too, and may come near the limit: the test is meant for up to some hundred tokens, as in Whisper's segments.
    """
    stripped = text.strip()
    if not any(character.isalnum() for character in stripped):
        return True
    return compression_ratio(stripped) > COMPRESSION_LIMIT


def compression_ratio(text: str) -> float:
    """UTF-8 bytes of the text divided by its bytes after zlib; 0 for an empty text."""
    raw = text.encode("utf-8")
    return len(raw) / len(zlib.compress(raw))


def _rouge(kind: str, generated: str, answer: str) -> Score:
    """ROUGE of one kind (``rougeL``, ``rouge1``); all NaN if the answer has no words."""
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
