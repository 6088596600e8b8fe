"""What a person types on a machine that only does runs: `bakewell worker`. Prefect's server is named by $PREFECT_API_URL."""

from flows.command import Exit
from flows.parts import POOL
from flows.run import prefect_is_there


def worker(*, pool: str = POOL, name: str = "", runs_at_once: int = 8) -> int:
    """Take runs of a process work pool and do them here, until stopped; then runs withdraw what they began.

    SIGUSR1 lets them finish first. Journal and server must be those of the other machines: $BAKEWELL_JOURNAL,
    $PREFECT_API_URL.

    Parameters
    ----------
    pool
        The work pool.
    name
        As Prefect's pages show this worker; two of one machine need two names.
    runs_at_once
        How many at the same time.
    """
    with prefect_is_there():
        from flows.worker import main

        main(pool, name, runs_at_once)
    return Exit.DONE
