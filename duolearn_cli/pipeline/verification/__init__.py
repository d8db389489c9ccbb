"""Checking a finished run against its record.json, from the cheapest check to the dearest.

Each check is a generator of findings that reads what it needs when it gets there, so whoever stops at the first finding
that is wrong pays for no more.
"""
