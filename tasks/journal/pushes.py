"""What the journal says of Git pushes: accepted before the forge hears so, then taken by a run, or dropped with a reason. Pure.

One line for each service that the push concerns, under the service's name. The fold over them: what is to be done yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True)
class PushAccepted:
    """Of one service: `folder` is its folder in the repository. `delivery` is the forge's id of the message, `by` a claim.

    `repository` is the name it has in the settings, `ref` the branch.
    """

    forge: str
    delivery: str
    repository: str
    ref: str
    commit: str
    folder: str
    by: str

    def __str__(self) -> str:
        return (
            f"push of {self.commit[:12]} to {self.ref} of {self.repository} by {self.by} accepted"
        )


@dataclass(frozen=True)
class PushTaken:
    """`push` is the sequence of the accepting line, `flow_run` the Prefect run that releases it; empty: it is about to be
    made, and whoever comes next makes it if nobody has. Once more after a run whose process was killed."""

    push: int
    flow_run: str

    def __str__(self) -> str:
        if not self.flow_run:
            return f"the push of line {self.push} is about to be released"
        return f"the push of line {self.push} is released by run {self.flow_run}"


class DropCause(StrEnum):
    """Why a push is not released. What was refused may be accepted again, when it is delivered again."""

    SUPERSEDED = "superseded"
    REFUSED = "refused"


@dataclass(frozen=True)
class PushDropped:
    """It will not be released: a newer one supersedes it, or Prefect refused it for good."""

    push: int
    reason: str
    cause: DropCause = DropCause.REFUSED

    def __str__(self) -> str:
        return f"the push of line {self.push} is not released: {self.reason}"


@dataclass(frozen=True)
class PushEnded:
    """The run that had taken it has ended. `said`: a sentence, told to the forge, too."""

    push: int
    succeeded: bool
    said: str

    def __str__(self) -> str:
        return f"the release of the push of line {self.push} has ended: {self.said}"


# ---- the fold ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KnownPush:
    """One accepted line: its sequence is its `id`. `flow_run` is empty until it was taken; `attempts`: how many runs were
    promised it, one after the other."""

    id: int
    service: str
    at: datetime
    body: PushAccepted
    flow_run: str = ""
    attempts: int = 0

    @property
    def taken_again(self) -> "KnownPush":
        """As it is once the next run is promised."""
        return replace(self, flow_run="", attempts=self.attempts + 1)


@dataclass(frozen=True)
class Pushes:
    """`open`: accepted, and neither taken nor dropped. `in_flight`: taken, and not ended. Both by id, oldest first."""

    open: Mapping[int, KnownPush] = field(default_factory=dict)
    in_flight: Mapping[int, KnownPush] = field(default_factory=dict)


Line = tuple[int, str, datetime, PushAccepted | PushTaken | PushDropped | PushEnded]
"""Sequence, service, moment, body."""


class PushFold:
    """Takes line after line; `pushes` is what they leave. One object that changes: a receiver folds thousands of lines."""

    def __init__(self) -> None:
        self._open: dict[int, KnownPush] = {}
        self._in_flight: dict[int, KnownPush] = {}
        self._deliveries: dict[tuple[str, str], set[int]] = {}
        self._commits: dict[tuple[str, str], set[int]] = {}
        self._accepted: dict[int, KnownPush] = {}

    def add(self, line: Line) -> None:
        sequence, service, at, body = line
        match body:
            case PushAccepted():
                self._accept(KnownPush(sequence, service, at, body))
            case PushTaken(push, run):
                if found := self._open.pop(push, None) or self._in_flight.get(push):
                    taken = replace(found, flow_run=run) if run else found.taken_again
                    self._in_flight[push] = taken
            case PushDropped(push, _, cause):
                self._open.pop(push, None)
                self._in_flight.pop(push, None)
                if cause is DropCause.REFUSED:
                    self._forget(push)
            case PushEnded(push):
                self._in_flight.pop(push, None)

    def _accept(self, push: KnownPush) -> None:
        """Once: who has written a line may read it again."""
        if push.id in self._accepted:
            return
        self._open[push.id] = self._accepted[push.id] = push
        for known, key in self._keys(push):
            known.setdefault(key, set()).add(push.id)

    def _forget(self, push: int) -> None:
        if (found := self._accepted.get(push)) is None:
            return
        for known, key in self._keys(found):
            known.get(key, set()).discard(push)

    def _keys(
        self, push: KnownPush
    ) -> tuple[tuple[dict[tuple[str, str], set[int]], tuple[str, str]], ...]:
        delivery = (push.body.repository, push.body.delivery)
        commit = (push.service, push.body.commit)
        return (self._deliveries, delivery), (self._commits, commit)

    def knows_delivery(self, repository: str, delivery: str) -> bool:
        return bool(self._deliveries.get((repository, delivery)))

    def knows_commit(self, service: str, commit: str) -> bool:
        return bool(self._commits.get((service, commit)))

    @property
    def pushes(self) -> Pushes:
        return Pushes(dict(self._open), dict(self._in_flight))


# ---- what follows from it ------------------------------------------------------------------------


@dataclass(frozen=True)
class Sorted:
    """`next`: the newest of each branch, the longest waiting first. `superseded`: each other, with the one that came later."""

    next: tuple[KnownPush, ...]
    superseded: tuple[tuple[KnownPush, KnownPush], ...]


def sort_open(service: str, pushes: Pushes) -> Sorted:
    """What is to be released of a service's open pushes, and what is not any more."""
    mine = sorted(
        (one for one in pushes.open.values() if one.service == service), key=lambda one: one.id
    )
    newest = {(one.body.repository, one.body.ref): one for one in mine}
    later = [(one, newest[one.body.repository, one.body.ref]) for one in mine]
    kept = sorted(newest.values(), key=lambda one: one.id)
    return Sorted(tuple(kept), tuple((one, other) for one, other in later if one is not other))


def in_flight_of(service: str, pushes: Pushes) -> KnownPush | None:
    """The newest that a run has taken and not ended."""
    mine = [one for one in pushes.in_flight.values() if one.service == service]
    return max(mine, key=lambda one: one.id, default=None)
