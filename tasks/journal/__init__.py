"""The journal: what can be written in it, and what follows from it."""
