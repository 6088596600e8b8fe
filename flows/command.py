"""What a person can type. Each command asks one flow or one rule and shows the answer; `--json` is for machines.

Exit codes: 0 done; 1 a fault of Bakewell's own; 2 bad input; 3 the release was stopped or rolled back; 4 refused
(not admitted, held by somebody else, evidence broken); 5 the outside world did not answer; 6 drift was found, and stands;
130 interrupted.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from rich.console import Group, RenderableType

from flows import console
from flows.stopped import StoppedError
from tasks.errors import BakewellError, InvalidInputError, NotFoundError, TransientError

Json = Annotated[bool, Parameter(name="--json", negative="")]

app = App(
    name="bakewell",
    help="Replace, never patch: takes a service from its source to production, and back.",
    version="0.5.0",
)

# Imported only when asked for: the judge's numpy must not slow down `bakewell status`.
for where, words in {
    "explain": "Show why a release was promoted, or not: the evidence.",
    "judge": "Ask the judge: what it will see, what it would have said, how often it is wrong.",
}.items():
    app.command(f"flows.command_judge:{where}", help=words)
for where, words in {
    "diff": "Compare two artifacts: packages, vulnerabilities, files, configuration.",
    "inspect": "Show an artifact's chain: source, base, packages, findings, verdicts, where it runs.",
}.items():
    app.command(f"flows.command_evidence:{where}", help=words)
for where, words in {
    "stop_the_line": "Let nothing go forward anywhere, until `bakewell resume`.",
    "resume": "Let the line go on after `bakewell stop-the-line`.",
    "repay": "Settle a debt: say what was done about something that was bypassed.",
}.items():
    app.command(f"flows.command_line:{where}", help=words)
for where, words in {
    "promote": "Carry a release that exists through its remaining environments.",
    "reject": "Reject the release that waits to enter an environment.",
}.items():
    app.command(f"flows.command_promote:{where}", help=words)
for where, words in {
    "bake": "Bake the service in a folder, alone; with --check: is its bake reproducible?",
    "drift": "Look for what somebody changed past us, everywhere; with --heal replace it.",
    "keys": "Who signs here, and whose signatures count: list, rotate, trust, distrust.",
    "mirror": "Copy an artifact with all its evidence to a second registry or layout.",
    "policy": "Ask the policies: which there are, what they say of an artifact, and what is waived.",
    "pushes": "List the Git pushes that were accepted, and what became of each.",
    "quarantine": "Say what may not run anywhere: an artifact, what stands on a base, what contains a package.",
    "rebuild": "Bake what has grown stale anew, and release it; with --plan: what, and why.",
    "trivy": "The scanner: what it knows, and a mirror of it.",
    "up": "Bring up what a team needs, and keep it alive: Prefect's server, a worker, the receiver, the keeper.",
    "worker": "Take runs on this machine, for a server elsewhere; drains when told to stop.",
}.items():
    app.command(f"flows.command_{where}:{where}", help=words)


class Exit(IntEnum):
    DONE = 0
    FAULT = 1
    BAD_INPUT = 2
    STOPPED = 3
    REFUSED = 4
    NO_ANSWER = 5
    DRIFTED = 6
    INTERRUPTED = 130


def run(arguments: Sequence[str]) -> int:
    """Parse, run, and turn every error into a sentence and an exit code."""
    console.listen()
    try:
        answer = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
        return int(answer or 0)
    except CycloptsError as error:
        console.show_error(error, hint="`bakewell --help` lists the commands")
        return Exit.BAD_INPUT
    except KeyboardInterrupt:
        console.show_error("stopped; `bakewell status` shows what is there")
        return Exit.INTERRUPTED
    except BakewellError as error:
        console.show_error(error)
        return exit_code(error)
    except Exception as error:
        if os.environ.get("BAKEWELL_DEBUG"):
            raise
        hint = "this is a fault of Bakewell; BAKEWELL_DEBUG=1 shows where"
        console.show_error(f"{type(error).__name__}: {error}", hint=hint)
        return Exit.FAULT


def exit_code(error: BakewellError) -> Exit:
    match error:
        case StoppedError():
            return Exit.STOPPED
        case TransientError():
            return Exit.NO_ANSWER
        case InvalidInputError() | NotFoundError():
            return Exit.BAD_INPUT
        case _:
            return Exit.REFUSED


def show(as_json: bool, data: Callable[[], Any], picture: Callable[[], RenderableType]) -> None:
    """The answer on standard output: for machines, or for people."""
    if as_json:
        print(json.dumps(data(), indent=2, default=str))
    else:
        console.out(picture())


@app.command
def demo(*, keep: bool = False) -> int:
    """Release an example service three times under load; the third version is bad, and is stopped.

    Parameters
    ----------
    keep
        Leave the example running; `bakewell down hello-demo` ends it.
    """
    from flows.demo import demo

    return demo(keep)


@app.command
def release(
    path: Path,
    *,
    to: str = "",
    despite_burn: str = "",
    hotfix: str = "",
    bypass: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    json: Json = False,
) -> int:
    """Bake, scan and sign the service in a folder, and roll it out to its environments in order.

    Parameters
    ----------
    path
        Folder that holds service.yaml.
    to
        Stop after this environment.
    despite_burn
        Why it must start even if the service burns its error budget: because it mends that. Journalled.
    hotfix
        Why it cannot wait: for soak, minimum observation, windows, freezes, and approval if the policy allows. Evidence, smoke
        test and judge hold. Each gate that it goes past is a debt.
    bypass
        GATE=REASON: go past one gate: line, freeze, window, soak, approval, observation, start-gate. A debt, too.
    json
        Print the outcome as JSON.
    """
    from flows.run import run_release

    outcome = run_release(path, to, despite_burn, hotfix, bypass)
    show(
        json,
        lambda: vars(outcome),
        lambda: console.outcome(outcome.release, outcome.digest, outcome.outcome),
    )
    return Exit.DONE


@app.command
def plan(path: Path, *, to: str = "", json: Json = False) -> int:
    """Print what a release would do to each environment, step by step, without doing it.

    Parameters
    ----------
    path
        Folder that holds service.yaml.
    to
        Stop after this environment.
    json
        Print the plan as JSON.
    """
    from flows.planning import planned

    plans = planned(path, to)
    show(json, lambda: console.plan_json(plans), lambda: console.plan(plans))
    return Exit.DONE


@app.command
def status(service: str = "", *, heal: bool = False, json: Json = False) -> int:
    """Show what runs where, and what should.

    Parameters
    ----------
    service
        Only this service.
    heal
        First withdraw what dead processes left, and replace what has drifted.
    json
        Print as JSON.
    """
    from flows.debts import debt_lines, standing
    from flows.installation_views import up_lines
    from flows.line import stop_lines
    from flows.quarantine import in_force
    from flows.quarantine_views import in_force_lines
    from flows.status import healed, statuses
    from tasks import platforms

    if heal:
        healed(service or None)
    found, now = statuses(service or None), datetime.now(UTC)
    owed = debt_lines(standing(service or None), now)
    held, stopped = in_force_lines(in_force(now)), stop_lines()
    up = up_lines(platforms.home())
    show(
        json,
        lambda: console.status_json(found),
        lambda: Group(*stopped, *up, console.status(found), *owed, *held),
    )
    return Exit.DONE


@app.command
def history(service: str = "", *, limit: int = 50, json: Json = False) -> int:
    """Show what was decided and done, newest first.

    Parameters
    ----------
    service
        Only this service.
    limit
        At most this many lines.
    json
        Print as JSON.
    """
    from tasks import platforms

    events = platforms.journal().events(service or None)
    show(json, lambda: console.history_json(events, limit), lambda: console.history(events, limit))
    return Exit.DONE


@app.command
def rollback(
    service: str, environment: str, *, reason: str = "asked for", json: Json = False
) -> int:
    """Return an environment to the newest release that was good there and is admitted today.

    Parameters
    ----------
    service
        Name of the service.
    environment
        Name of the environment.
    reason
        Why; it is journalled with who asked.
    json
        Print the outcome as JSON.
    """
    from flows.run import run_rollback

    target = run_rollback(service, environment, reason)
    words = f"{service} in {environment} is back on {target.release}"
    show(
        json,
        lambda: {"release": target.release, "digest": target.artifact.digest},
        lambda: console.outcome(target.release, target.artifact.digest, words),
    )
    return Exit.DONE


@app.command
def approve(service: str, environment: str, *, reason: str, by: str = "") -> int:
    """Approve the release that waits to enter an environment.

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
    from flows.approval import approve

    console.out(f"{approve(service, environment, reason, by)} may enter {environment}")
    return Exit.DONE


@app.command
def verify(reference: str, *, json: Json = False) -> int:
    """Check the evidence of an artifact: `repository@sha256:…`, or `service@sha256:…` of the embedded store.

    Parameters
    ----------
    reference
        What to check.
    json
        Print as JSON.
    """
    from flows.verification import verified

    checks = verified(reference)
    show(json, lambda: console.checks_json(checks), lambda: console.checks(reference, checks))
    return Exit.DONE if all(check.passed for check in checks) else Exit.REFUSED


@app.command
def verify_journal(*, json: Json = False) -> int:
    """Prove that no line of the journal was changed, removed or put elsewhere.

    Parameters
    ----------
    json
        Print as JSON.
    """
    from tasks import platforms
    from tasks.journal.rules import verify_chain

    events = platforms.journal().events()
    broken = verify_chain(events)
    show(json, lambda: console.chain_json(events, broken), lambda: console.chain(events, broken))
    return Exit.REFUSED if broken else Exit.DONE


@app.command
def down(service: str = "", environment: str = "", *, all: bool = False, wait: bool = False) -> int:
    """Stop a service (in one environment or all); with --all everything, what `bakewell up` keeps alive too.

    Parameters
    ----------
    service
        Name of the service.
    environment
        Only there.
    all
        Every service, and all that `bakewell up` started. Runs that go on withdraw what they began.
    wait
        With --all: let runs that go on finish first.
    """
    from flows.retirement import take_down

    if not service and not all:
        raise InvalidInputError(
            "say which service goes down, or --all; `bakewell status` lists them"
        )
    for line in take_down(service or None, environment or None, all, wait):
        console.out(line)
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
