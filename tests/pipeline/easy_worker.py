"""A worker process to which any look shows that the goal is reached: see `easily_shown` in test_monitor.py."""

import sys

from duolearn_cli.evaluation.metrics import gold
from duolearn_cli.pipeline import early_stopping
from duolearn_cli.pipeline.worker import main

EASY = ((early_stopping, "NEAR", 100.0), (early_stopping, "LEVEL", 1.0), (gold, "FEW_FACTS", 2))

if __name__ == "__main__":
    for module, name, value in EASY:
        setattr(module, name, value)
    sys.exit(main(sys.argv[1]))
