"""What is too few for a claim: apart from the intervals, as tables of commands that need no SciPy mark it, too."""

# Fewer facts carry no claim.
FEW_FACTS = 30
