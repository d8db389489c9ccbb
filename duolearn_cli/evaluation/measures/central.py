"""The measures that verdicts, warnings and choices are about, under the names that code uses for them."""

from __future__ import annotations

from duolearn_cli.evaluation.measures.rows import MEASURES

FORGETTING_RATE = MEASURES["forgetting_rate"]
FORGETTING = MEASURES["chance_corrected_forgetting"]
AGAINST_GOLD = MEASURES["forgetting_against_gold"]
ABOVE_MAJORITY = MEASURES["forgetting_above_majority"]
KEEPING = MEASURES["knowledge_preservation"]
FORGET_ACCURACY, RETAIN_ACCURACY = MEASURES["forget_accuracy"], MEASURES["retain_accuracy"]
RETAIN_RECALL, RECALL_SHARE = MEASURES["retain_recall"], MEASURES["retain_recall_share"]
LOSS_AUC, LOSS_SCORE, WORST_SCORE = MEASURES["mia_auc"], MEASURES["mia_score"], MEASURES["mia_worst"]
