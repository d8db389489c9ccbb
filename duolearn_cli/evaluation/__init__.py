"""How models are scored: answers, generated text, attacks, warnings, and the summary in metrics.json."""
