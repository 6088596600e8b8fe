"""The line: anybody may stop it, and nothing goes forward anywhere until it is resumed. Reads and writes the journal; no Prefect.

No rollout begins, and one in flight is withdrawn: that is the state known to be good. Roll-backs, repairs, bakes and scans go on.
"""

import getpass
from collections.abc import Iterable

from rich.console import RenderableType
from rich.text import Text

from flows.words import moment, one_line
from tasks import platforms
from tasks.errors import InvalidInputError, NotFoundError
from tasks.journal.line import LineResumed, LineStopped
from tasks.journal.rules import EVERY_SERVICE, EventKind, record
from tasks.journal.stops import Stop, stop_in_force


def line_stop() -> Stop | None:
    """The stop in force, or None: the line goes."""
    kinds = (EventKind.LINE_STOPPED, EventKind.LINE_RESUMED)
    return stop_in_force(platforms.journal().events(EVERY_SERVICE, kinds=kinds))


def stop(reason: str, by: str = "") -> Stop:
    """The stop in force from now on. The same again writes nothing."""
    said = _said(reason, "stop the line")
    found = line_stop()
    if found and found.reason == said:
        return found
    told = LineStopped(said, by or getpass.getuser())
    record(platforms.journal(), EVERY_SERVICE, "", "", told)
    made = line_stop()
    return made or stop(reason, by)  # somebody resumed it in between


def resume(reason: str, by: str = "") -> Stop:
    """The stop that is over. NotFoundError if the line was not stopped."""
    said = _said(reason, "resume the line")
    if (found := line_stop()) is None:
        raise NotFoundError("asked to resume the line, which is not stopped; nothing was changed")
    told = LineResumed(said, by or getpass.getuser())
    record(platforms.journal(), EVERY_SERVICE, "", "", told)
    return found


def stop_words(found: Stop) -> str:
    """In a sentence without the full stop."""
    return f"the line was stopped by {found.by} at {moment(found.since)} UTC: {found.reason}"


def stop_lines() -> Iterable[RenderableType]:
    """For the top of `bakewell status`: nothing while the line goes."""
    if found := line_stop():
        words = one_line(stop_words(found))
        yield Text(f"{words[0].upper()}{words[1:]}", style="bold red", overflow="fold")
        hint = "No release goes forward anywhere until `bakewell resume REASON`."
        yield Text(f"{hint}\n", style="red")


def _said(reason: str, what: str) -> str:
    if not reason.strip():
        raise InvalidInputError(f"asked to {what} without a reason; say why")
    return reason.strip()
