"""The report of one rollout: the picture, what users saw, the verdicts with their numbers, the steps. Markdown. Pure."""

from collections.abc import Iterable
from datetime import datetime

from pydantic import JsonValue

from flows.bins import ended, who, within
from flows.course import Course, Taken
from flows.evidence_plot import markdown_plot
from flows.evidence_table import evidence_table
from flows.markdown import table, text
from flows.picture import markdown_picture
from flows.retelling import looks
from flows.words import duration, percent
from tasks.model import Judgement, Verdict
from tasks.observe.counting import totals
from tasks.service import ServiceSpec


def environment_report(
    course: Course, spec: ServiceSpec | None = None, now: Judgement | None = None
) -> Iterable[str]:
    """A chapter: the picture, what users saw, the evidence (over time if `spec` says how it was judged), what was decided and
    why. `now`: the judge's last look where it has not decided yet."""
    yield f"## {text(course.environment.name)}: {ended(course)}"
    yield ""
    if picture := markdown_picture(course):
        yield from (picture, "")
    elif course.steps:
        yield from ("No traffic was observed during this rollout.", "")
    yield from _users(course)
    yield from _evidence(course, spec, now)
    yield from _verdicts(course)
    yield from _steps(course)


def _evidence(course: Course, spec: ServiceSpec | None, now: Judgement | None) -> Iterable[str]:
    plot = markdown_plot(looks(course, spec), course.name) if spec is not None else ""
    judged = now or next((one.judgement for one in reversed(course.verdicts)), None)
    rows = list(evidence_table(judged.numbers)) if judged else []
    if plot or rows:
        yield from ("**The evidence**", "", *rows, plot, "")


def _users(course: Course) -> Iterable[str]:
    """Latencies are upper bounds of the histogram's buckets."""
    rows = []
    for group in course.groups:
        found = totals(course.seen, {group})
        if found.requests:
            times = [within(found.latency, share) for share in (0.5, 0.95, 0.99)]
            failed = f"{found.failures:,} ({percent(found.failure_share)})"
            rows.append((text(who(course, group)), f"{found.requests:,}", failed, *times))
    if not rows:
        return
    yield "**What users saw**"
    yield ""
    headings = ("Group", "Requests", "Failed", "p50", "p95", "p99")
    yield from table(headings, rows, headings[1:])


def _verdicts(course: Course) -> Iterable[str]:
    """The numbers as a table, the sentences below it: V1 does not wrap cells."""
    if not course.verdicts:
        return
    yield "**Verdicts**"
    yield ""
    rows = (
        (
            _after(course, judged.at),
            text(judged.step.name) if judged.step else "",
            _verdict(judged.judgement.verdict),
            *_numbers(judged.judgement.numbers),
        )
        for judged in course.verdicts
    )
    headings = ("After", "Step", "Verdict", "Requests", "Failed", "Allowed", "Others failed")
    yield from table(headings, rows, ("After", *headings[3:]))
    for judged in course.verdicts:
        verdict = judged.judgement.verdict.value
        yield f"- {_after(course, judged.at)}, {verdict}: {text(judged.judgement.reason)}"
    yield ""


def _verdict(verdict: Verdict) -> str:
    marks = {Verdict.PROMOTE: "✓", Verdict.ROLL_BACK: "✗", Verdict.INCONCLUSIVE: "?"}
    return f"{marks.get(verdict, '')} **{verdict.value}**".strip()


def _numbers(numbers: dict[str, JsonValue]) -> tuple[str, str, str, str]:
    """Those that people ask for, empty where the judge gave none; all of them are in the journal."""
    requests, allowed = _number(numbers, "requests"), _number(numbers, "failure_share_allowed")
    return (
        "" if requests is None else f"{requests:,.0f}",
        _failed(_number(numbers, "failures"), requests),
        "" if allowed is None else percent(allowed),
        _failed(_number(numbers, "peers_failures"), _number(numbers, "peers_requests")),
    )


def _number(numbers: dict[str, JsonValue], name: str) -> float | None:
    value = numbers.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _failed(failures: float | None, requests: float | None) -> str:
    if failures is None or not requests:
        return ""
    return f"{failures:,.0f} ({percent(failures / requests)})"


def _steps(course: Course) -> Iterable[str]:
    if not course.steps:
        return
    yield "**Steps**"
    yield ""
    ends = [*(taken.at for taken in course.steps[1:]), course.ended_at]
    rows = (
        (
            _after(course, taken.at),
            duration((end - taken.at).total_seconds()),
            text(taken.step.name),
            _traffic(taken),
            taken.step.gate.value,
        )
        for taken, end in zip(course.steps, ends, strict=True)
    )
    yield from table(("After", "Took", "Step", "Traffic", "Gate"), rows, ("After", "Took"))


def _traffic(taken: Taken) -> str:
    return text(", ".join(f"{name} {weight} %" for name, weight in taken.step.spec.weights.items()))


def _after(course: Course, at: datetime) -> str:
    return duration((at - course.started_at).total_seconds())
