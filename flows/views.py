"""Answers for people: status, history, plan, checks and what users saw, as Rich renderables of plain values. Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flows.plain import Check, pairs, told
from flows.words import (
    clock,
    count,
    duration,
    event_words,
    holder,
    listed,
    one_line,
    percent,
    verdict_of,
    waiting_words,
)
from tasks.journal.rules import ChainBreak, EnvironmentState
from tasks.model import Gate, GroupStatus, Verdict
from tasks.model import Group as DesiredGroup
from tasks.ports import Event
from tasks.rollout.simulation import describe

if TYPE_CHECKING:
    from flows.load import LoadSummary, VersionSeen
    from flows.planning import EnvironmentPlan, PlannedStep
    from flows.status import EnvironmentReport

EMPTY: Final = "Nothing has been released yet; try `bakewell demo`, or `bakewell release <folder>`."
GATES: Final = {
    Gate.READY: "go on when all instances are ready",
    Gate.SMOKE: "go on when every fresh instance passes its smoke test",
    Gate.OBSERVE: "observe users' requests; go on, or roll back, by verdict",
    Gate.APPROVE: "go on when somebody approves",
    Gate.HOLD: "go on when that is over",
}


# ---- status --------------------------------------------------------------------------------------


def status(reports: Sequence["EnvironmentReport"], now: datetime | None = None) -> RenderableType:
    """What runs where, what should, who is changing it, and what is wrong."""
    if not reports:
        return Text(EMPTY)
    at = now or datetime.now(UTC)
    return Group(*(part for report in reports for part in _environment(report, at)))


def _environment(report: "EnvironmentReport", now: datetime) -> Iterable[RenderableType]:
    state, found = report.state, report.found
    title = Text(f"{state.environment.service} {state.environment.name}", style="bold")
    title.append(f"  {found.endpoint if found and found.endpoint else 'no endpoint'}", style="cyan")
    yield title
    rows = pairs(report.desired, found)
    if rows:
        yield Padding(_groups(state, rows, now, found is not None), (0, 0, 0, 2), expand=False)
    elif state.down:
        yield Text(f"  is down; `bakewell release` brings {state.environment.service} back")
    elif found is None:
        yield Text("  nothing should run here; what does could not be read")
    else:
        yield Text("  nothing runs here")
    yield from (Text(f"  {one_line(line)}") for line in _notes(report, now))
    yield from (Text(f"  ! {one_line(problem)}", style="yellow") for problem in report.problems)
    yield Text("")


def _groups(
    state: EnvironmentState,
    rows: Sequence[tuple[DesiredGroup | None, GroupStatus | None]],
    now: datetime,
    readable: bool,
) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for heading in ("release", "artifact", "role", "traffic", "ready", "since"):
        table.add_column(heading, justify="right" if heading in ("traffic", "ready") else "left")
    for wanted, there in rows:
        table.add_row(*_group(state, wanted, there, now, readable))
    return table


def _group(
    state: EnvironmentState,
    wanted: DesiredGroup | None,
    there: GroupStatus | None,
    now: datetime,
    readable: bool,
) -> Iterable[Text]:
    one = there or wanted
    assert one is not None, "a pair has one side at least"
    ready, replicas = there.ready if there else 0, wanted.replicas if wanted else 0
    yield Text(one.name)
    yield Text(one.artifact.short)
    yield Text(wanted.role.value if wanted else "not wanted", style="" if wanted else "yellow")
    yield Text(f"{there.weight if there else 0} %" if readable else "?")
    style = "green" if readable and ready >= replicas else "yellow"
    yield Text(f"{ready if readable else '?'} of {replicas}", style=style)
    yield Text(_since(state, one.name, now))


def _since(state: EnvironmentState, group: str, now: datetime) -> str:
    known = [one for one in (state.stable, state.warm) if one and one.release == group]
    return duration((now - known[0].since).total_seconds()) if known else ""


def _notes(report: "EnvironmentReport", now: datetime) -> Iterable[str]:
    state, lease = report.state, report.lease
    if rollout := state.rollout:
        step = rollout.step.name if rollout.step else "before its first step"
        age = duration((now - rollout.started_at).total_seconds())
        yield f"rollout of {rollout.release}: step {rollout.step_index + 1}: {step}; began {age} ago"
    if state.warm and state.warm_until and state.warm_until > now:
        left = duration((state.warm_until - now).total_seconds())
        yield f"{state.warm.release} stays warm for {left} more: going back is a traffic change"
    if report.waiting and report.waiting.waiting:
        yield waiting_words(report.waiting.id, report.waiting.waiting, now)
    if lease is not None:
        yield f"in the hands of {holder(lease)} until {clock(lease.expires_at)} UTC"
    if state.last_outcome:
        yield f"last: {state.last_outcome}"


# ---- history, plan, checks -----------------------------------------------------------------------


def history(events: Sequence[Event], limit: int) -> RenderableType:
    """Newest first. Samples are left out: there is one every few seconds."""
    chosen = told(events, limit)
    if not events:
        return Text(EMPTY)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("when (UTC)", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("event", overflow="fold")
    for event in chosen:
        where = " ".join(filter(None, (event.service, event.environment, event.release)))
        words = Text(one_line(event_words(event)), style=_colour(verdict_of(event)))
        table.add_row(f"{event.at.astimezone(UTC):%m-%d %H:%M:%S}", Text(one_line(where)), words)
    left = sum(1 for _ in told(events, len(events))) - len(chosen)
    more = [Text(f"{count(left, 'older event')} not shown; `--limit` shows more", style="dim")]
    return Group(table, *(more if left else []))


def _colour(verdict: Verdict | None) -> str:
    colours = {Verdict.PROMOTE: "green", Verdict.ROLL_BACK: "red", Verdict.INCONCLUSIVE: "yellow"}
    return colours.get(verdict, "") if verdict else ""


def plan(plans: Sequence["EnvironmentPlan"]) -> RenderableType:
    """Ordered sentences: what would be done, and what has to be true before the next step."""
    if not plans:
        return Text("There is no environment to go to.")
    return Group(*(part for one in plans for part in _planned(one)))


def _planned(one: "EnvironmentPlan") -> Iterable[RenderableType]:
    artifact = one.digest.removeprefix("sha256:")[:12] or "not baked yet"
    title = Text(f"{one.service} {one.release} to {one.environment}", style="bold")
    wave = f", wave {one.wave}: at the same time as its neighbours" if one.wave else ""
    yield title.append(f"  (artifact {artifact}{wave})", style="dim")
    if not one.steps:
        yield Text("  nothing to do: this very artifact is stable here")
    for number, step in enumerate(one.steps, start=1):
        yield from _planned_step(number, step)
    yield Text("")


def _planned_step(number: int, step: "PlannedStep") -> Iterable[Text]:
    yield Text(f"  {number}. {one_line(step.name)}")
    for action in step.actions:
        yield Text(f"     - {describe(action)}")
    yield Text(f"     then {GATES[step.gate]}", style="dim")


def checks(reference: str, found: Sequence[Check]) -> RenderableType:
    """What was checked of an artifact. Nothing checked is nothing proved."""
    passed = bool(found) and all(check.passed for check in found)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for check in found:
        word = Text("ok", style="green") if check.passed else Text("REFUSED", style="bold red")
        table.add_row(
            word, Text(one_line(check.name)), Text(one_line(check.reason), overflow="fold")
        )
    bad = [check.name for check in found if not check.passed]
    because = f"because of {listed(bad)}" if bad else "nothing could be checked"
    words = "has evidence that holds" if passed else f"may NOT run: {because}"
    style = "bold green" if passed else "bold red"
    return Group(table, Text(one_line(f"{reference} {words}"), style=style, overflow="fold"))


def chain(events: Sequence[Event], broken: ChainBreak | None) -> RenderableType:
    """Whether the journal can be believed, and where not."""
    if broken is not None:
        return Text(f"The journal is BROKEN at {broken}.", style="bold red").append(
            " What is told from there on cannot be believed; restore it from a backup.", style=""
        )
    if not events:
        return Text("The journal is empty: there is nothing to prove.")
    return Group(
        Text(f"{count(len(events), 'event')}, each proves the one before.", style="green"),
        Text(f"Newest hash: {events[-1].hash}"),
        Text("Keep it elsewhere: it shows lines that are cut off, and a chain written anew."),
    )


def outcome(release: str, digest: str, words: str) -> RenderableType:
    """How a release or a roll-back ended, in a line."""
    name = f"{release} " if release else ""
    return Text(name, style="bold").append(f"{one_line(words)}  ({digest})", style="default")


# ---- what users saw ------------------------------------------------------------------------------


def users_saw(seen: "LoadSummary") -> RenderableType:
    """One line per version, and a sentence that says whether anybody got no answer."""
    table = Table(title="What users saw", title_justify="left", title_style="bold", box=None)
    table.add_column("version")
    for heading in ("requests", "answered with an error", "p50", "p95", "p99", "slowest"):
        table.add_column(heading, justify="right")
    for version in seen.versions:
        table.add_row(*_version(version))
    return Group(table, Text(_verdict_of_users(seen)), Text(_footnote(seen), style="dim"))


def _version(version: "VersionSeen") -> Iterable[str]:
    """Its name came with an answer: anything may stand in it."""
    yield one_line(version.version) or "none (the splitter's own answer)"
    yield f"{version.requests:,}"
    share = version.errors / version.requests if version.requests else 0.0
    yield f"{version.errors:,} ({percent(share)})" if version.errors else "0"
    for wanted in (0.5, 0.95, 0.99):
        yield _quantile(version, wanted)
    yield milliseconds(version.slowest_ms)


def _quantile(version: "VersionSeen", share: float) -> str:
    found, bounds = version.quantile_ms(share), version.latency.bounds_ms
    if found is not None:
        return milliseconds(found)
    return f"> {milliseconds(bounds[-1])}" if bounds and version.latency.total else "not measured"


def milliseconds(value: float) -> str:
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def _verdict_of_users(seen: "LoadSummary") -> str:
    kinds = listed([f"{number:,} {kind.value}" for kind, number in seen.failed.items()])
    if not seen.requests:
        return "Nobody asked anything."
    if seen.failures:
        return f"{count(seen.failures, 'request')} got NO ANSWER: {kinds}."
    return f"Every one of the {count(seen.requests, 'request')} was answered; no connection was refused or broken."


def _footnote(seen: "LoadSummary") -> str:
    lost = (
        f"THE LOAD GENERATOR WAS LOST ({one_line(seen.problem)}): the end is missing. "
        if _lost(seen)
        else ""
    )
    late = f"; {count(seen.late, 'request')} went out 50 ms or more too late" if seen.late else ""
    rate = seen.requests / seen.seconds if seen.seconds else 0.0
    return (
        f"{lost}{rate:.0f} requests/s for {duration(seen.seconds)}, none asked twice; latency counts from when a"
        f" request was due{late}."
    )


def _lost(seen: "LoadSummary") -> bool:
    return seen.ended.name == "LOST"
