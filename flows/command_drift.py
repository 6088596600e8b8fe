"""What a person can type about drift: `bakewell drift [SERVICE] [--heal] [--json]`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from flows.command import Exit, Json, show
from flows.drift_views import drift_json, drift_view
from flows.run import run_drift

if TYPE_CHECKING:
    from flows.drifting import EnvironmentDrift


def drift(
    service: str = "",
    *,
    heal: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Look in every environment for what somebody changed past us, and say what, where, when, and by whom if that is known.

    Ends with 6 if drift stands, else with 5 if an environment could not be looked at.

    Parameters
    ----------
    service
        Only this service.
    heal
        Replace what has drifted, one instance at a time, and withdraw what dead processes left.
    json
        Print as JSON.
    """
    found = run_drift(service, heal)
    show(json, lambda: drift_json(found), lambda: drift_view(found))
    return exit_of(found)


def exit_of(found: Sequence["EnvironmentDrift"]) -> Exit:
    """What is being changed on purpose is neither."""
    outcomes = {one.outcome.value for one in found}
    if "has drifted" in outcomes:
        return Exit.DRIFTED
    return Exit.NO_ANSWER if "could not be looked at" in outcomes else Exit.DONE
