"""Observe: read what the canary answered, count it honestly, and judge it."""
