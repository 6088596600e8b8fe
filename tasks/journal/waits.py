"""What the journal says of releases that wait: for people, for time, for a line that goes again. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class WaitKind(StrEnum):
    """What a release waits for before it enters an environment."""

    APPROVAL = "approval"
    SOAK = "soak"
    WINDOW = "change window"
    FREEZE = "freeze"
    LINE = "stopped line"


@dataclass(frozen=True)
class Wait:
    """`reason` is a sentence. `until`: when it is over by itself, or (an approval) when nobody is waited for any longer; None:
    until somebody acts. `flow_run`: the suspended Prefect run; empty: a process waits."""

    kind: WaitKind
    reason: str
    until: datetime | None = None
    flow_run: str = ""


@dataclass(frozen=True)
class ReleaseWaits:
    """The release does not go on into this line's environment yet. Nothing is live meanwhile."""

    wait: Wait

    def __str__(self) -> str:
        return f"waits for {self.wait.kind.value}: {self.wait.reason}"


@dataclass(frozen=True)
class WaitEnded:
    """It goes on, or has ended; `how` is a sentence."""

    kind: WaitKind
    how: str

    def __str__(self) -> str:
        return f"waits no longer for {self.kind.value}: {self.how}"


@dataclass(frozen=True)
class Rejected:
    """The release may not enter this line's environment. `by` is a claim; `how` it came (command line, API, form)."""

    by: str
    reason: str
    how: str

    def __str__(self) -> str:
        return f"rejected by {self.by} ({self.how}): {self.reason}"


@dataclass(frozen=True)
class Waiting:
    """Where a release wants to go, since when, and what it waits for. `told_at`: when it last asked."""

    environment: str
    since: datetime
    wait: Wait
    told_at: datetime


def waiting_after(
    before: Waiting | None, environment: str, at: datetime, body: ReleaseWaits | WaitEnded
) -> Waiting | None:
    """What is waited for after this line. The same wait told again (by a run taken up anew) keeps its beginning."""
    if isinstance(body, WaitEnded):
        return None
    same = before and (before.environment, before.wait.kind) == (environment, body.wait.kind)
    if before and same:
        return replace(before, wait=body.wait, told_at=at)
    return Waiting(environment, at, body.wait, at)
