"""The version, below every module that writes it down. pyproject.toml reads it from here."""

__version__ = "0.1.0"
