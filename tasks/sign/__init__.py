"""Sign: put evidence beside an artifact that others can verify, and read it back."""
