"""Rollout: how one artifact comes into one environment, step by step, and how a fleet is brought to its spec."""
