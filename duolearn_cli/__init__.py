"""DuoLearn: remove specialised medical knowledge from a language model, keep the rest, and prove both."""

__version__ = "0.1.0"
