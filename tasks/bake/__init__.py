"""Bake: base, files, locked packages and configuration become one artifact; the same inputs become the same digest."""
