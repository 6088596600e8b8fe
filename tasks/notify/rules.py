"""Whom to tell what: by level and service, nothing twice, and of a long silence a summary. Pure."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from tasks.notices import Level, Notice, Target

MOST_AT_ONCE: Final = 20
"""After a long silence nobody reads more: they get one summary."""
FIRST_RETRY_SECONDS: Final = 30.0
LONGEST_RETRY_SECONDS: Final = 3600.0


def due(target: Target, notices: Sequence[Notice], told: Collection[str]) -> tuple[Notice, ...]:
    """What this target is to be told now, oldest first. `told`: keys that it was told before."""
    seen = set(told)
    chosen: list[Notice] = []
    for one in notices:
        if one.key not in seen and concerns(target, one):
            seen.add(one.key)
            chosen.append(one)
    return tuple(chosen) if len(chosen) <= MOST_AT_ONCE else (summary(chosen),)


def concerns(target: Target, notice: Notice) -> bool:
    about = not target.services or not notice.service or notice.service in target.services
    return about and notice.level.reaches(target.level)


def summary(notices: Sequence[Notice]) -> Notice:
    """One for many: how many of each level, and the newest alarms, or the newest of all, by their titles."""
    last = notices[-1]
    counted = Counter(one.level for one in notices)
    levels = ", ".join(f"{counted[level]} {level.value}" for level in Level if counted[level])
    worst = max(counted, key=list(Level).index)
    newest = [one.title for one in notices if one.level is worst][-5:]
    text = "\n".join((*newest, "`bakewell history` shows all of it"))
    title = f"{len(notices)} things happened: {levels}"
    return Notice(last.sequence, f"summary to line {last.sequence}", worst, title, text)


def retry_seconds(failures: int) -> float:
    """How long to leave a target alone that has not answered so many times in a row."""
    return min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 20))
