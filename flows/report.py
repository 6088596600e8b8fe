"""The release report: what changed, what vouches for it, what users saw, and how to go back. Markdown, from the journal. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flows.course import Course, Ending, courses, newest
from flows.links import Link
from flows.markdown import code, prose, table, text
from flows.report_environment import environment_report
from flows.report_rollout import runs_line
from flows.story import Tone
from flows.words import count, duration, listed, moment
from tasks.errors import NotFoundError
from tasks.journal.rules import (
    Approved,
    Bypassed,
    EnvironmentState,
    Promoted,
    ReleaseStarted,
    ReleaseState,
    RolledBack,
    Scaled,
    State,
    body_of,
    fold,
)
from tasks.journal.waits import Rejected
from tasks.ports import Event


@dataclass(frozen=True)
class EvidenceSummary:
    """What is proved of the artifact. `scan`: what its policy says of its newest scan; `links`: from source to verdicts."""

    scanned: bool
    scan: str
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class _Story:
    """One release, its rollouts, and what stood before it."""

    release: ReleaseState
    now: State
    before: State
    courses: tuple[Course, ...]
    bodies: tuple[tuple[Event, object], ...]

    @property
    def name(self) -> str:
        return f"{self.release.service} {self.release.id}"

    @property
    def newest(self) -> tuple[Course, ...]:
        return newest(self.courses)

    def place(self, environment: str) -> EnvironmentState | None:
        return self.now.environments.get((self.release.service, environment))

    def stable_before(self, environment: str) -> str:
        """Which release served there before this one came; empty if none did."""
        place = self.before.environments.get((self.release.service, environment))
        return place.stable.release if place and place.stable else ""


def release_report(
    state: State,
    events: Sequence[Event],
    service: str,
    release: str,
    evidence: EvidenceSummary | None = None,
) -> str:
    """Of a finished, stopped or unfinished release. `events` are the service's, in order; `state` is their fold.

    NotFoundError if the journal does not know the release.
    """
    story = _story(state, events, service, release)
    known_spec = story.release.spec
    lines = (
        f"# {text(story.name)}: {text(_outcome(story))}",
        "",
        f"**{text(headline(story))}**",
        "",
        runs_line(story.release, story.newest),
        "",
        *_later(story),
        *_what_changed(story),
        *_evidence(story, evidence),
        *(line for course in story.courses for line in environment_report(course, known_spec)),
        *_what_next(story),
    )
    return "\n".join(lines) + "\n"


def in_short(state: State, events: Sequence[Event], service: str, release: str) -> str:
    """The report in one sentence."""
    return headline(_story(state, events, service, release))


def _story(state: State, events: Sequence[Event], service: str, release: str) -> _Story:
    known = state.releases.get((service, release))
    if known is None:
        raise NotFoundError(
            f"a report of {service} {release} was asked for, and the journal does not know that release;"
            f" `bakewell history {service}` lists what it knows"
        )
    own = [event for event in events if event.service == service]
    first = next(place for place, event in enumerate(own) if event.release == release)
    told = (event for event in own if event.kind in _TOLD)
    return _Story(
        known,
        state,
        fold(own[:first]),
        courses(own, service, release),
        tuple((event, body_of(event)) for event in told),
    )


_TOLD = {"release started", "approved", "bypassed", "promoted", "rolled back", "scaled"}


# ---- the first sentence --------------------------------------------------------------------------


def headline(story: _Story) -> str:
    """What came of it, in one sentence."""
    stopped = [one for one in story.newest if one.ending in (Ending.ROLLED_BACK, Ending.WITHDRAWN)]
    if stopped:
        one = stopped[-1]
        return (
            f"{story.name} was {one.ending.value} in {one.environment.name} after"
            f" {duration(one.seconds)}: {one.reason}."
        )
    if story.release.outcome is None:
        return _under_way(story)
    if not story.courses:
        return f"{story.name} rolled nothing: {story.release.outcome}."
    promoted = [one for one in story.newest if one.ending is Ending.PROMOTED]
    places = listed([f"{one.environment.name} in {duration(one.seconds)}" for one in promoted])
    why = "" if _went_well(story) else story.release.outcome.removeprefix("stopped: ")
    if not places:
        return f"{story.name} was promoted nowhere: {why or 'its rollout did not end'}."
    return f"{story.name} was promoted in {places}{f'; then it stopped: {why}' if why else ''}."


def _under_way(story: _Story) -> str:
    rolling = [one for one in story.newest if one.ending is Ending.GOES_ON]
    if not rolling:
        done = listed([one.environment.name for one in story.newest])
        return f"{story.name} is not finished; promoted so far: {done or 'nowhere'}."
    step = rolling[-1].steps[-1].step.name if rolling[-1].steps else "before its first step"
    return f"{story.name} is on its way into {rolling[-1].environment.name}: {step}."


def _outcome(story: _Story) -> str:
    endings = {one.ending for one in story.newest}
    for ending in (Ending.ROLLED_BACK, Ending.WITHDRAWN):
        if ending in endings:
            return ending.value
    if story.release.outcome is None:
        return "not finished"
    if not _went_well(story):
        return "stopped"
    return Ending.PROMOTED.value if story.courses else "nothing rolled"


def _went_well(story: _Story) -> bool:
    return not (story.release.outcome or "").startswith("stopped")


def _later(story: _Story) -> list[str]:
    """What happened to it after it was promoted."""
    stable: dict[str, str] = {}
    found: list[str] = []
    for event, body in story.bodies:
        if isinstance(body, RolledBack) and stable.get(event.environment) == story.release.id:
            found.append(
                f"> **Later**, on {moment(event.at)} UTC, {text(event.environment)} was rolled back to"
                f" {text(body.to.release)} by {text(body.by)}: {text(body.reason)}"
            )
        if isinstance(body, Promoted | RolledBack):
            stable[event.environment] = (
                body.deployed.release if isinstance(body, Promoted) else body.to.release
            )
    return [line for words in found for line in (words, "")]


# ---- what changed, and what vouches for it -------------------------------------------------------


def _what_changed(story: _Story) -> Iterable[str]:
    release, before = story.release, _previous(story)
    yield "## What changed"
    yield ""
    sources = {
        event.release: body.source
        for event, body in story.bodies
        if isinstance(body, ReleaseStarted)
    }
    old = before.stable if before else None
    rows = [
        ("Release", text(old.release) if old else "nothing ran before", text(release.id)),
        (
            "Source",
            text(str(sources.get(old.release, ""))) if old else "",
            text(str(release.source)),
        ),
        ("Artifact", code(old.artifact.short) if old else "", code(release.artifact.short)),
    ]
    yield from table(("", "Before", "Now"), rows)
    baked = "baked before from the same inputs" if release.reused_bake else "freshly baked"
    yield f"The artifact is {code(release.artifact.digest)}."
    yield ""
    yield f"Started on {moment(release.started_at)} UTC; {baked}."
    if release.source.dirty:
        yield ""
        yield "⚠ **The source tree had changes that are not committed**: the commit alone does not tell what was baked."
    yield from _decisions(story)
    yield ""


def _previous(story: _Story) -> EnvironmentState | None:
    """Of the last environment it went to, or would have: what users had before."""
    places = [one.environment.name for one in story.newest] or [
        place.name for place in story.release.spec.environments
    ]
    known = [story.before.environments.get((story.release.service, place)) for place in places]
    return next((one for one in reversed(known) if one is not None and one.stable), None)


def _decisions(story: _Story) -> Iterable[str]:
    for event, body in story.bodies:
        if event.release != story.release.id:
            continue
        if isinstance(body, Approved | Rejected):
            yield ""
            said = "Approved" if isinstance(body, Approved) else "Rejected"
            yield (
                f"{said} for {text(event.environment)} by {text(body.by)} ({text(body.how)}) on"
                f" {moment(event.at)} UTC: {text(body.reason)}"
            )
        if isinstance(body, Bypassed):
            yield ""
            yield (
                f"⚠ **Bypassed**: the {text(body.gate)} of {text(event.environment)} said no ({text(body.found)});"
                f" {text(body.by)} went on: {text(body.reason)}"
            )
        if isinstance(body, Scaled):
            yield ""
            yield f"Scaled to {count(body.replicas, 'instance')} in {text(event.environment)}."


def _evidence(story: _Story, evidence: EvidenceSummary | None) -> Iterable[str]:
    yield "## Evidence"
    yield ""
    if evidence is None:
        yield f"Not looked up for this report; {code(f'bakewell verify {story.release.artifact.reference}')} checks it."
        yield ""
        return
    if not evidence.scanned:
        yield f"⚠ **Nobody knows which vulnerabilities it has.** {text(evidence.scan)}"
        yield ""
    scan = text(evidence.scan) if evidence.scanned else "**NOT SCANNED**"
    for link in evidence.links:
        yield f"- **{text(link.name.capitalize())}**: {_link(link)}"
    yield f"- **Policy**: {scan}"
    yield ""


def _link(link: Link) -> str:
    """What is wrong must be seen at a glance. A list, because Prefect's page does not wrap the cells of a table."""
    words = text("; ".join((link.words, *link.details)))
    return f"⚠ **{words}**" if link.tone is Tone.BAD else words


# ---- what next -----------------------------------------------------------------------------------


def _what_next(story: _Story) -> Iterable[str]:
    service = story.release.service
    yield "## What next"
    yield ""
    for course in story.newest:
        place = story.place(course.environment.name)
        if place is not None:
            here = _next_here(story, place, course)
            yield f"- **{text(course.environment.name)}**: {here}"
    if not story.newest:
        yield "- Nothing was rolled out: what ran before runs on."
    if waiting := story.release.waiting:
        yield (
            f"- **{text(waiting.environment)}**: it waits for {waiting.wait.kind.value} since"
            f" {moment(waiting.since)} UTC: {prose(waiting.wait.reason)}."
        )
    if story.release.outcome is None:
        yield f"- {code(f'bakewell status {service}')} shows how far it is."
    elif not _went_well(story):
        yield "- Fix the cause and release again: a new source makes a new artifact; nothing that runs is patched."
    if story.courses:
        explained = code(f"bakewell explain {service} {story.release.id}")
        yield f"- {explained} shows the evidence: every look of the judge, and what each instance answered."
    yield f"- {code(f'bakewell history {service}')} tells the whole story, line by line."


def _next_here(story: _Story, place: EnvironmentState, course: Course) -> str:
    service, before = story.release.service, story.stable_before(course.environment.name)
    if place.down:
        return "was taken down since."
    if place.stable is None:
        return "nothing serves here yet."
    if place.stable.release != story.release.id:
        as_before = ", as before" if place.stable.release == before else ""
        return f"users are served by {text(place.stable.release)}{as_before}."
    if len(place.vetted) < 2:
        return "users are served by it; there is nothing older to go back to."
    back = code(f"bakewell rollback {service} {course.environment.name}")
    if place.warm is not None and place.warm_until is not None:
        return (
            f"users are served by it. To go back: {back}; until {moment(place.warm_until)} UTC"
            f" {text(place.warm.release)} is warm, and that is a traffic change of seconds."
        )
    return f"users are served by it. To go back: {back}."
