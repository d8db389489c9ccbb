"""Evaluation: answers, generated text, membership attacks, warnings, and their summary in metrics.json."""
