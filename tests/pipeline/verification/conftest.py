"""A small signed run, to be verified and tampered with."""

from tests.signed_run import original, site

__all__ = ["original", "site"]
