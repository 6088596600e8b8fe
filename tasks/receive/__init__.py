"""Receive: which services a push concerns."""
