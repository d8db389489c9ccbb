"""Two requests in sequence, for tests of their record."""

import pytest

from tests.chain_of_two import chain_of_two

__all__ = ["chain_of_two"]


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items):
    # One worker runs all tests of the chain, since every worker would make it anew.
    for item in items:
        if "chain_of_two" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("chain_of_two"))
