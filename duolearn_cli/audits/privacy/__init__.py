"""The empirical privacy audit: canaries, guesses about them, and the lower bound on epsilon that follows."""
