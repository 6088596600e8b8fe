"""What the journal says of Git pushes: accepted before the forge hears so, then taken by a run, or dropped with a reason. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PushAccepted:
    """Of one service: `folder` is its folder in the repository. `delivery` is the forge's id of the message, `by` a claim."""

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
    """`push` is the sequence of the accepting line, `flow_run` the Prefect run that releases it."""

    push: int
    flow_run: str

    def __str__(self) -> str:
        return f"the push of line {self.push} is released by run {self.flow_run}"


@dataclass(frozen=True)
class PushDropped:
    """It will not be released: a newer one supersedes it, or Prefect refused it for good."""

    push: int
    reason: str

    def __str__(self) -> str:
        return f"the push of line {self.push} is not released: {self.reason}"
