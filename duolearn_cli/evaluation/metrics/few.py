"""How many facts a claim needs. A module of its own, so that tables can use it without importing SciPy."""

# With fewer facts, figures carry no claim: the coverage of intervals is tested from 30 facts on
# (docs/results/intervals.md).
FEW_FACTS = 30
