"""Debts: what was bypassed and not made good since. Reads and writes the journal; no Prefect."""

import getpass
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import RenderableType
from rich.text import Text

from flows.words import count, duration, one_line
from tasks import platforms
from tasks.errors import InvalidInputError, NotFoundError
from tasks.journal.debts import Debt, debts
from tasks.journal.line import Repaid
from tasks.journal.rules import record


def standing(service: str | None = None) -> tuple[Debt, ...]:
    """All debts (of one service) that nobody repaid yet, oldest first."""
    return debts(platforms.journal().events(service))


def repay(line: int, how: str, by: str = "") -> Debt:
    """Settle the debt of that line of the journal. NotFoundError if none stands there."""
    if not how.strip():
        raise InvalidInputError(
            "asked to repay a debt without saying how; say what was done with --how"
        )
    found = standing()
    for one in found:
        if one.line == line:
            told = Repaid(line, by or getpass.getuser(), how.strip())
            record(platforms.journal(), one.service, one.environment, one.release, told)
            return one
    known = ", ".join(str(one.line) for one in found) or "none"
    raise NotFoundError(f"asked to repay the debt of line {line}; debts that stand: {known}")


def debt_words(debt: Debt) -> str:
    """In a sentence without the full stop."""
    where = f"{debt.service} {debt.release} in {debt.environment}"
    return f"{where} went past {debt.barrier} ({debt.found}) for {debt.by}: {debt.reason}"


def debt_lines(found: Sequence[Debt], now: datetime) -> Iterable[RenderableType]:
    """For `bakewell status`."""
    if found:
        heading = f"{count(len(found), 'debt')} to repay"
        yield Text(f"{heading} (`bakewell repay LINE --how WHAT-WAS-DONE`)", style="bold yellow")
    for one in found:
        age = duration((now - one.at).total_seconds())
        words = one_line(f"{debt_words(one)} ({age} ago)")
        yield Text(f"  line {one.line}: {words}", overflow="fold")
