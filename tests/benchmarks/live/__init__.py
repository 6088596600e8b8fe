"""Versions with real faults, released against a good one under real load: is the verdict right, how soon, at what price?"""
