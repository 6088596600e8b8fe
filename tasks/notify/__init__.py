"""Room: people are told. What is told is read from the journal (flows/notices.py)."""
