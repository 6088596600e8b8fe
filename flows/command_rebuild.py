"""`bakewell rebuild`: what has grown stale, and why; baked anew and released."""

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Group
from rich.text import Text

from flows.command import Exit, show
from tasks.stale import Rebuilt

Json = Annotated[bool, Parameter(name="--json", negative="")]
Flag = Annotated[bool, Parameter(negative="")]
BAD = (Rebuilt.FAILED, Rebuilt.SKIPPED)


def rebuild(
    service: str = "",
    *,
    plan: Flag = False,
    at_once: Annotated[int, Parameter(validator=Number(gte=1, lte=16))] = 2,
    json: Json = False,
) -> int:
    """Bake every stale service anew from the source that it runs, and release what came out; what is the same rolls nothing.

    A rebuild that was killed goes on where it was. Exit code 3: some could not be rebuilt.

    Parameters
    ----------
    service
        Only this service, and what it stands on.
    plan
        Print what is stale, in order, and why, without doing it.
    at_once
        So many are rebuilt at the same time, at most.
    json
        Print as JSON.
    """
    from flows.rebuild_views import done_json, done_lines, plan_json, plan_lines

    if plan:
        from flows.staleness import planned

        found = planned(service)
        show(json, lambda: plan_json(found), lambda: Group(*map(Text, plan_lines(found))))
        return Exit.DONE
    from flows.run import run_rebuild

    state = run_rebuild(service, at_once)
    show(json, lambda: done_json(state), lambda: Group(*map(Text, done_lines(state))))
    return Exit.STOPPED if any(one in BAD for one in state.outcomes.values()) else Exit.DONE
