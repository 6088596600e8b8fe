"""The page of one rollout in Prefect, while it goes on and afterwards: the picture, the evidence of each metric, what was decided
and where to look further. Markdown, from the journal. Pure."""

from collections.abc import Iterable, Sequence
from itertools import islice

from flows.bins import ended
from flows.course import Course, Ending, courses
from flows.labels import run_link
from flows.markdown import code, text
from flows.report_environment import environment_report
from tasks.journal.rules import ReleaseState
from tasks.model import Judgement
from tasks.ports import Event


def rollout_page(
    told: ReleaseState, events: Sequence[Event], environment: str, now: Judgement | None = None
) -> tuple[str, str]:
    """The page of the newest attempt, and a sentence. `now`: the last look of a judge that has not decided yet. What costs more
    the longer it goes on, the evidence over time, is there when it has ended."""
    course = _newest(events, told, environment)
    if course is None:
        return "", ""
    going = course.ending is Ending.GOES_ON
    lines = (
        f"# {text(f'{told.service} {told.id} in {environment}')}: {text(ended(course))}",
        "",
        runs_line(told, [course]),
        "",
        *_why(course, now),
        *islice(environment_report(course, None if going else told.spec, now), 2, None),
        *_more(told, environment),
    )
    return "\n".join(lines) + "\n", f"{course.name}: {ended(course)}"


def _newest(events: Sequence[Event], told: ReleaseState, environment: str) -> Course | None:
    found = courses(events, told.service, told.id)
    return next((one for one in reversed(found) if one.environment.name == environment), None)


def runs_line(told: ReleaseState, rollouts: Iterable[Course]) -> str:
    """Where this is shown in Prefect: the release, and its rollouts in order. Who rolls out at the same time as others does so
    in the release's own run."""
    parts = [run_link(f"release {told.service} {told.id}", told.flow_run)] if told.flow_run else []
    for one in rollouts:
        if one.flow_run and one.flow_run != told.flow_run:
            words = f"rollout to {one.environment.name}"
            parts.append(run_link(words, one.flow_run))
    return f"Runs: {' · '.join(parts)}" if parts else ""


def _why(course: Course, now: Judgement | None) -> Iterable[str]:
    """What the judge says while it goes on; why it ended so, where that is not what was wanted."""
    if course.ending is Ending.GOES_ON and now is not None:
        yield from (f"**{text(now.verdict.value)}**: {text(now.reason)}", "")
    elif course.reason:
        yield from (f"**{text(course.reason)}**", "")


def _more(told: ReleaseState, environment: str) -> Iterable[str]:
    yield "## More"
    yield ""
    explain = code(f"bakewell explain {told.service} {told.id}")
    yield f"- {explain}: every look of the judge, and what each instance answered."
    yield f"- {code(f'bakewell history {told.service}')}: the journal, line by line."
    back = code(f"bakewell rollback {told.service} {environment} --reason WHY")
    yield f"- {back}: back to what was good here."
