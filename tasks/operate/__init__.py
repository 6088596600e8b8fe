"""What keeps an installation alive for months: which part of it is started again, and which runs nobody does any more."""
