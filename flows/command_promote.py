"""`bakewell promote`, `bakewell reject`: a release goes on, or does not."""

from flows import console
from flows.command import Exit, Json, show


def promote(
    service: str, release: str, *, to: str = "", despite_burn: str = "", json: Json = False
) -> int:
    """Carry a release that exists through its remaining environments: the same digest, neither baked again nor its folder needed.

    Parameters
    ----------
    service
        Name of the service.
    release
        Its release, as `bakewell history` shows it (r7).
    to
        Stop after this environment.
    despite_burn
        Why it must start even if the service burns its error budget: because it mends that. Journalled.
    json
        Print the outcome as JSON.
    """
    from flows.run import run_promotion

    outcome = run_promotion(service, release, to, despite_burn)
    show(
        json,
        lambda: vars(outcome),
        lambda: console.outcome(outcome.release, outcome.digest, outcome.outcome),
    )
    return Exit.DONE


def reject(service: str, environment: str, *, reason: str, by: str = "") -> int:
    """Reject the release that waits to enter an environment: it ends, and what serves goes on serving.

    Parameters
    ----------
    service
        Name of the service.
    environment
        Name of the environment.
    reason
        Why; it is journalled.
    by
        Who; this machine's user where empty.
    """
    from flows.approval import reject

    console.out(f"{reject(service, environment, reason, by)} may not enter {environment}")
    return Exit.DONE
