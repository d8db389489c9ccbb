#!/usr/bin/env bash
# The main job in small, as CI runs it: every stage, a few items, nothing left behind.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${BIN:-.venv/bin}/duolearn" unlearn +forget=surgery split.max_forget=20 split.max_retain=40 \
  learn.epochs=2 unlearn.epochs=2 output_dir="$folder/outputs" cache_dir="$folder/cache"
ls "$folder"/outputs/*/*/report.html
