"""The proof of the journal's chain. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.chain import FIRST, hash_of
from tasks.ports import Event


@dataclass(frozen=True)
class ChainBreak:
    """The first line that cannot be trusted, and why."""

    sequence: int
    problem: str

    def __str__(self) -> str:
        return f"line {self.sequence}: {self.problem}"


def verify_chain(events: Iterable[Event]) -> ChainBreak | None:
    """The first break of the whole journal's chain, from its first line on; None if every line proves the one before.

    What it cannot see: lines cut off at the end (a shorter chain is a chain; the store keeps the newest hash beside it
    for that), and somebody who may write to the database and computes the whole chain anew. Keep the newest hash
    elsewhere to see both.
    """
    previous = FIRST
    for sequence, event in enumerate(events, start=1):
        if problem := _break(event, sequence, previous):
            return ChainBreak(sequence, problem)
        previous = event.hash
    return None


def _break(event: Event, sequence: int, previous: str) -> str:
    if event.sequence != sequence:
        return (
            f"line {event.sequence} stands in its place: lines were removed, added or put elsewhere"
        )
    if hash_of(event) != event.hash:
        return "its content is not what its hash says: it was changed after it was written"
    if event.previous != previous:
        return "it does not follow the line before: one of them was replaced"
    return ""
