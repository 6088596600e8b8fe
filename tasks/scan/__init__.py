"""Scan: learn what is known to be wrong with an artifact, and decide whether it may run all the same."""
