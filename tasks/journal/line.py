"""What the journal says of people who stop everything, of debts that were repaid, and of who was told. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LineStopped:
    """Written under EVERY_SERVICE: no rollout begins anywhere until the line is resumed. `by` is a claim."""

    reason: str
    by: str

    def __str__(self) -> str:
        return f"the line was stopped by {self.by}: {self.reason}"


@dataclass(frozen=True)
class LineResumed:
    """Written under EVERY_SERVICE."""

    reason: str
    by: str

    def __str__(self) -> str:
        return f"the line was resumed by {self.by}: {self.reason}"


@dataclass(frozen=True)
class Repaid:
    """A debt (invariant 11) is settled: `debt` is the sequence of the line that says what was bypassed."""

    debt: int
    by: str
    how: str

    def __str__(self) -> str:
        return f"the bypass of line {self.debt} was repaid by {self.by}: {self.how}"


@dataclass(frozen=True)
class Notified:
    """People were told of `what`. Nothing with the same `key` is told again."""

    key: str
    what: str

    def __str__(self) -> str:
        return f"told people: {self.what}"
