#!/usr/bin/env bash
# The runs behind docs/history/results.md; some hours on two CPU cores. MEDMCQA is your copy of MedMCQA's development set: without it,
# the real model is left out.
set -euo pipefail
duolearn=${BIN:-.venv/bin}/duolearn
out=${OUT:-outputs/reproduce}
methods=duolearn,npo,graddiff,gradient_ascent

attack() { # FOLDER SETTING...: attacks every run of a sweep
  for run in "$1"/*/; do
    "$duolearn" audit robustness "run=${run%/}" runtime.threads=1 "${@:2}"
  done
}

"$duolearn" unlearn +forget=surgery
"$duolearn" unlearn -m +forget=surgery "method=$methods" seed=0,1,2 runtime.threads=1 "hydra.sweep.dir=$out/minimed"
attack "$out/minimed" audit.robustness.max_items=150
if [[ -n "${MEDMCQA:-}" ]]; then
  "$duolearn" fetch model=smollm2_135m
  real=(model=smollm2_135m dataset=medmcqa "dataset.path=$MEDMCQA" split.max_forget=40 split.max_retain=80 learn.epochs=5
    unlearn.epochs=5 evaluation.max_items=40 evaluation.generate_items=16 evaluation.quick_items=8 runtime.threads=1)
  # The page's runs are of before scores allowed for the form of answers.
  "$duolearn" unlearn -m +forget=surgery method=duolearn method.answer_form=false "${real[@]}" "hydra.sweep.dir=$out/smollm2"
  "$duolearn" unlearn -m +forget=surgery "method=${methods#duolearn,}" "${real[@]}" "hydra.sweep.dir=$out/smollm2-others"
  attack "$out/smollm2" audit.robustness.max_items=16
  attack "$out/smollm2-others" audit.robustness.max_items=16
fi
