"""Check a finished run against its record.json, the cheapest checks first.

Each check is a generator of findings. It reads files only when it gets there, so stopping at the first wrong finding
costs no more than that.
"""
