"""What a person can type about quarantines: `bakewell quarantine DIGEST --reason …`, `… lift`, `… list`."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from flows.command import Exit, show
from flows.quarantine import Whereabouts, known, where_it_runs
from flows.quarantine_views import (
    listed_json,
    listed_table,
    outcome_json,
    outcome_view,
)
from flows.quarantining import add as put
from flows.quarantining import lift as take_out
from flows.quarantining import target_of
from flows.run import run_replacement
from tasks.evidence import Quarantine

if TYPE_CHECKING:
    from flows.replacing import Replaced

Json = Annotated[bool, Parameter(name="--json", negative="")]
Flag = Parameter(negative="")

quarantine = App(
    name="quarantine",
    help="Say what may not run anywhere: an artifact, what stands on a base, what contains a package.",
)


@quarantine.default
@quarantine.command
def add(
    what: str = "",
    *,
    reason: str,
    base: str = "",
    package: str = "",
    until: datetime | None = None,
    replace: Annotated[bool, Flag] = False,
    wait: float = 60.0,
    by: str = "",
    json: Json = False,
) -> int:
    """Quarantine something in every environment of every service, and say where it runs.

    Parameters
    ----------
    what
        An artifact: its digest, repository@sha256:…, service@sha256:…, or repository:tag as it is now.
    reason
        Why; it is journalled.
    base
        Instead of an artifact: everything that stands on the base image of this digest.
    package
        Instead of an artifact: everything that contains this package: NAME@VERSION, NAME@* or a package URL.
    until
        When it ends by itself (2026-01-31T12:00, UTC unless it says otherwise); else it has to be lifted.
    replace
        Roll those environments back to the newest artifact that is admitted.
    wait
        How many seconds to wait, in each environment, for whoever is changing it.
    by
        Who; this machine's user where empty.
    json
        Print as JSON.
    """
    made = put(target_of(what, base, package), reason, _utc(until), by)
    now = where_it_runs(made)
    done: list[Replaced] = []
    if replace and now.held:
        done = run_replacement(made, wait)
        now = where_it_runs(made)  # a rollout of it may have withdrawn it meanwhile, all by itself
    show(
        json,
        lambda: outcome_json(made, done, now),
        lambda: outcome_view(made, done, now, asked=replace),
    )
    return _exit(now) if replace else Exit.DONE


@quarantine.command
def lift(
    what: str = "",
    *,
    reason: str,
    base: str = "",
    package: str = "",
    by: str = "",
    json: Json = False,
) -> int:
    """End a quarantine: what it held may run again if nothing else is said against it.

    Parameters
    ----------
    what
        The artifact, as `bakewell quarantine list` shows it.
    reason
        Why; it is journalled.
    base
        Instead of an artifact: the base image's digest.
    package
        Instead of an artifact: the package.
    by
        Who; this machine's user where empty.
    json
        Print as JSON.
    """
    lifted = take_out(target_of(what, base, package), reason, by)
    words = f"the {lifted.kind.value} {lifted.what} is not quarantined any more"
    show(json, lambda: {"kind": lifted.kind.value, "what": lifted.what}, lambda: words)
    return Exit.DONE


@quarantine.command(name="list")
def list_(*, all: Annotated[bool, Flag] = False, json: Json = False) -> int:
    """Show what is quarantined, by whom, why, until when, and where it runs.

    Parameters
    ----------
    all
        Also those that are over and were not lifted.
    json
        Print as JSON.
    """
    now = datetime.now(UTC)
    found: list[tuple[Quarantine, Whereabouts]] = [
        (one, where_it_runs(one)) for one in known() if all or one.in_force(now)
    ]
    show(json, lambda: listed_json(found, now), lambda: listed_table(found, now))
    return Exit.DONE


def _utc(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at and at.tzinfo is None else at


def _exit(now: Whereabouts) -> Exit:
    """Asked to replace: done only if it runs nowhere any more, for certain."""
    if now.found:
        return Exit.REFUSED
    return Exit.NO_ANSWER if now.unseen else Exit.DONE
