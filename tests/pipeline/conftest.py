"""Two requests in sequence, for tests of their record."""

from tests.chain_of_two import chain_of_two

__all__ = ["chain_of_two"]
