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
    """The target of that name was told of `what`: it is told nothing with the same `key` again, and nothing of lines up to
    `through`. Without a key: it is to be told from there on."""

    key: str
    what: str
    target: str = ""
    through: int = 0

    def __str__(self) -> str:
        return f"told {self.target or 'people'}: {self.what}"
