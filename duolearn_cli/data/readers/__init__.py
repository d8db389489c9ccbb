"""Data set readers, one module each.

A reader of your own takes what it needs from here: ``from duolearn_cli.data.readers import Loaded, Raw, read, rows``.
"""

from duolearn_cli.config.settings import setting
from duolearn_cli.data.items import BAD_ROW_POLICIES, Item, Loaded, Reader, Rejected
from duolearn_cli.data.readers.raw import ANSWER_KINDS, NO_OPTION, Raw
from duolearn_cli.data.readers.reading import read
from duolearn_cli.data.readers.row import Entry, Row
from duolearn_cli.data.readers.tabular import require_columns, rows
from duolearn_cli.errors import DataError

__all__ = [
    "ANSWER_KINDS",
    "BAD_ROW_POLICIES",
    "NO_OPTION",
    "DataError",
    "Entry",
    "Item",
    "Loaded",
    "Raw",
    "Reader",
    "Rejected",
    "Row",
    "read",
    "require_columns",
    "rows",
    "setting",
]
