"""The empirical privacy audit: canaries, guesses about them, and a lower bound on epsilon."""
