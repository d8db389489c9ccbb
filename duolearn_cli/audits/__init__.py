"""Audits of what a run reports: attacks on what it forgot, and a test of its claimed epsilon."""
