"""Attacks on finished runs and on privacy promises: does a run hold what it reports?"""
