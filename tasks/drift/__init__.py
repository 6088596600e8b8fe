"""The drift room: what differs from what should be there, and what takes it away."""
