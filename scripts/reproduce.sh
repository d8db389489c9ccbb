#!/usr/bin/env bash
# The runs behind docs/results.md. MEDMCQA is your copy of MedMCQA's development set; about 40 minutes on two CPU cores.
set -euo pipefail
duolearn=${BIN:-.venv/bin}/duolearn
"$duolearn" unlearn +forget=surgery
"$duolearn" unlearn -m +forget=surgery split.seed=1,2,3
"$duolearn" unlearn +forget=anxiety
"$duolearn" unlearn -m +forget=surgery method=duolearn,npo seed=1,2
if [[ -n "${MEDMCQA:-}" ]]; then
  "$duolearn" fetch model=smollm2_135m
  real=(+forget=surgery model=smollm2_135m dataset=medmcqa "dataset.path=$MEDMCQA")
  "$duolearn" unlearn "${real[@]}"
  "$duolearn" unlearn "${real[@]}" method.retain_weight=5 method.kl_weight=5
  "$duolearn" unlearn "${real[@]}" prompt.form=letter method.distill_weight=1 method.ascent_weight=1 \
    unlearn.learning_rate=2e-4
fi
