"""What to do about each kind of warning: one sentence, which the report shows below the warning."""

from __future__ import annotations

LESS = "Unlearn less: set a lower unlearn.learning_rate or fewer unlearn.epochs, or stop in time with unlearn.stop."
MORE = "Unlearn more: set more unlearn.epochs or a higher unlearn.learning_rate, or tune both with duolearn benchmark."
GENTLER = "Set a lower unlearn.learning_rate or a higher weight of the retain loss (method.retain_weight)."
BROKEN = "Do not use this model: set a much lower unlearn.learning_rate or fewer unlearn.epochs."
READ_BOTH = "Judge by the rows of trained and held-out accuracy. More phrasings of each fact bring the two together."
SAID = "Judge by recall if the model will answer without options. A lower unlearn.learning_rate keeps more of it."
LEARN = "Forgetting cannot be judged on this target: make it know the items first, as the sentence says."
BY_GOLD = "Compare with gold's row, not with 1 / number of options."
MAJORITY = "Judge by the row of forgetting measured from that share, or balance the answers of your data."
OPTIONS = "Write wrong options of the same kind as the right ones, or judge by recall, which needs no options."
PLACES = "Judge by trained phrasings, or set prompt.form=cloze, which shows no positions."
SPLIT = "Ignore the attacks of this run, or set split.unseen_fraction so that non-members are of the same kind."
