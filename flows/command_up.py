"""What a person types to bring a team's installation up: `bakewell up [--detach] [--status]`."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from flows import console
from flows.command import Exit, Json, show
from flows.configured import check_settings
from flows.installation import is_up, state_of
from flows.installation_views import as_json, table, troubles
from flows.parts import RECEIVER_PORT, Settings
from flows.stopping import stop_installation
from tasks import platforms
from tasks.adapters.database_setting import use_database
from tasks.adapters.parts import environment_of_part, folder_of, log_of, words_of
from tasks.adapters.server_process import any_port, is_free
from tasks.errors import TransientError

USUAL_RECEIVER_PORT: Final = 4300
DETACHED_SECONDS: Final = 300.0

Flag = Annotated[bool, Parameter(negative="")]


def up(
    *,
    detach: Flag = False,
    status: Flag = False,
    stop: Flag = False,
    runs_at_once: int = 8,
    database: str = "",
    json: Json = False,
) -> int:
    """Bring everything up that a team needs, and keep it alive: Prefect's server, a worker, the receiver of pushes, the keeper.

    Ctrl-C or SIGTERM stop it again: runs that go on withdraw what they began. What serves users goes on.

    Parameters
    ----------
    detach
        Return once everything is healthy; `bakewell down --all` stops it.
    status
        Only show what is up, since when. Ends with 5 if it is not up, or not well.
    stop
        Stop what is up, as SIGTERM does, also what a killed `bakewell up` left. Services stay; `bakewell down --all` stops
        those, too.
    runs_at_once
        How many runs the worker does at the same time; 0: no worker here.
    database
        PostgreSQL's URL for Prefect, without a password: put one with a password into
        $PREFECT_SERVER_DATABASE_CONNECTION_URL. SQLite in the home where neither is given.
    json
        Print what is up as JSON.
    """
    if status:
        return show_status(json)
    if stop:
        for line in stop_installation(platforms.home()):
            console.out(line)
        return Exit.DONE
    if is_up(platforms.home()):
        console.out("it is up already")
        return show_status(json)
    check_settings()
    use_database(database, platforms.home())
    if detach:
        return detached(runs_at_once, json)
    from flows.supervisor import supervise

    supervise(
        Settings(runs_at_once, receiver_port()),
        lambda state: show(json, lambda: as_json(state), lambda: table(state)),
    )
    return Exit.DONE


def detached(runs_at_once: int, json: bool) -> int:
    """Another process does it, in a session of its own. TransientError if it does not become healthy."""
    home = platforms.home()
    log = log_of(home, "supervisor")
    command = [sys.executable, "-m", "flows", "up", "--runs-at-once", str(runs_at_once)]
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).resolve().parent.parent,
            start_new_session=True,
        )
    until = time.monotonic() + DETACHED_SECONDS
    while time.monotonic() < until and process.poll() is None:
        state = state_of(home)
        if state and state.pid == process.pid and state.healthy:
            process.returncode = 0  # it goes on without us
            show(json, partial(as_json, state), partial(table, state))
            return Exit.DONE
        time.sleep(0.2)
    ended = process.poll() is not None
    process.returncode = process.returncode or 0
    raise TransientError(
        f"asked for an installation that is up within {DETACHED_SECONDS:.0f} s; it"
        f" {'ended' if ended else 'is not healthy yet'}: {words_of(home, 'supervisor')}. See {folder_of(home)};"
        " `bakewell down --all` ends what was started"
    )


def receiver_port() -> int:
    """The user's; else that of a receiver that is there; else the usual one, or any."""
    if given := os.environ.get(RECEIVER_PORT):
        return int(given)
    if there := environment_of_part(platforms.home(), "receiver").get(RECEIVER_PORT):
        return int(there)
    return USUAL_RECEIVER_PORT if is_free(USUAL_RECEIVER_PORT) else any_port()


def show_status(json: bool) -> int:
    state = state_of(platforms.home())
    if state is None or not is_up(platforms.home()):
        show(json, lambda: {"up": False}, lambda: "nothing is up; `bakewell up` starts it")
        return Exit.NO_ANSWER
    show(json, lambda: as_json(state), lambda: table(state))
    return Exit.NO_ANSWER if any(troubles(state)) else Exit.DONE
