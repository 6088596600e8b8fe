"""Mirror: a second place for an artifact and everything that vouches for it."""
