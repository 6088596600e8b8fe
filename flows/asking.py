"""Asking: a release that needs an approval asks for it, by a form in the Prefect UI, with what people have to know."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from flows.admission import admit, refusal
from flows.bypassing import goes_past
from flows.comparing import compared
from flows.differences import Difference, Unknown
from flows.markdown import code, table, text
from flows.policies import policy_of
from flows.suspended import read_form
from flows.suspending import is_woken
from flows.tenure import Tenure
from flows.waiting import standing, wait_until
from flows.words import count, duration, listed
from tasks.errors import BakewellError, NotAdmittedError
from tasks.journal.answers import answer_of, judged
from tasks.journal.rules import Deployed, ReleaseState, State
from tasks.journal.waits import Wait, WaitKind
from tasks.lanes import Barrier
from tasks.model import Admission, Judgement, Verdict
from tasks.service import EnvironmentSpec


def approved(held: Tenure, told: ReleaseState, place: EnvironmentSpec) -> Judgement:
    """What people said of this release here; no answer in time is INCONCLUSIVE. Nobody is asked about what may not start."""
    if not place.needs_approval:
        return Judgement(Verdict.PROMOTE, "no approval is needed")
    since = standing(held, told.id, place, WaitKind.APPROVAL)
    begun = since.since if since else datetime.now(UTC)
    until = begun + timedelta(seconds=place.approval_seconds)
    if since and is_woken():
        read_form(held.journal, told.service, told.id, place.name, since.wait.flow_run)

    def over() -> Judgement | None:
        answer = answer_of(held.journal.events(told.service), told.id, place.name)
        return judged(answer, until, place.approval_seconds, datetime.now(UTC))

    if (already := over()) is None:
        if goes_past(held, told, place.name, Barrier.APPROVAL, "nobody has approved it"):
            return Judgement(Verdict.PROMOTE, "it goes past the approval")
        _ensure_admitted(told, place)
    elif since is None:
        return already
    command = f"{told.service} {place.name} --reason WHY"
    reason = f"`bakewell approve {command}` lets it in, `bakewell reject {command}` does not"
    wait = Wait(WaitKind.APPROVAL, reason, until)
    return wait_until(held, told.id, place, wait, over, lambda: question(held.state(), told, place))


def _ensure_admitted(told: ReleaseState, place: EnvironmentSpec) -> None:
    policy = policy_of(told.spec, place.name)
    ruling = admit(told.artifact, policy)
    if ruling.answer is Admission.REFUSE:
        raise NotAdmittedError(refusal(told.artifact, policy, ruling))


# ---- what the form says --------------------------------------------------------------------------


def question(state: State, told: ReleaseState, place: EnvironmentSpec) -> str:
    """In Markdown: what shall enter, from where, what it replaces and what is different, and how it did so far."""
    here = state.environments.get((told.service, place.name))
    stable = here.stable if here else None
    lines = (
        f"### May {text(told.service)} {told.id} enter {text(place.name)}?",
        "",
        *table(("", ""), list(_facts(state, told, place, stable))),
        "",
        *_changes(told, stable),
        "",
        _otherwise(told, place),
    )
    return "\n".join(lines)


def _otherwise(told: ReleaseState, place: EnvironmentSpec) -> str:
    return (
        f"Or: `bakewell approve {told.service} {place.name} --reason WHY`, or `bakewell reject …`. Without an answer within"
        f" {duration(place.approval_seconds)} the release ends; what serves goes on serving."
    )


def _facts(
    state: State, told: ReleaseState, place: EnvironmentSpec, stable: Deployed | None
) -> Iterator[tuple[str, str]]:
    yield "Artifact", code(told.artifact.short)  # the form cuts off what is longer
    yield "Source", text(str(told.source))
    replaced = f"{stable.release}, {code(stable.artifact.short)}" if stable else "nothing"
    yield "Replaces", replaced
    for one in told.spec.before(place.name):
        there = state.environments.get((told.service, one.name))
        yield f"In {text(one.name)}", text(there.last_outcome if there else "never was there")


def _changes(told: ReleaseState, stable: Deployed | None) -> Iterator[str]:
    if stable is None:
        return
    try:
        found = compared(stable.artifact, told.artifact)
    except BakewellError as error:
        yield f"What is different could not be found out: {text(str(error))}"
        return
    yield from difference_lines(found)
    yield f"- more: `bakewell diff {told.service} {stable.release} {told.id}`"


def difference_lines(found: Difference) -> Iterator[str]:
    """What is different, a line each for packages, vulnerabilities, files and settings."""
    yield f"- packages: {_packages(found)}"
    yield f"- vulnerabilities: {_vulnerabilities(found)}"
    yield f"- {count(len(found.files), 'file')} and {count(len(found.settings), 'setting')} differ"


def _packages(found: Difference) -> str:
    if isinstance(found.packages, Unknown):
        return f"not known: {text(found.packages.reason)}"
    shown = [
        text(f"{one.name} {'+'.join(one.before) or '—'} → {'+'.join(one.after) or '—'}")
        for one in found.packages[:10]
    ]
    more = [f"{len(found.packages) - 10} more"] if len(found.packages) > 10 else []
    return listed([*shown, *more]) or "the same"


def _vulnerabilities(found: Difference) -> str:
    if isinstance(found.vulnerabilities, Unknown):
        return f"not known: {text(found.vulnerabilities.reason)}"
    gone, new = found.vulnerabilities.fixed, found.vulnerabilities.introduced
    told = [f"{len(gone):,} fixed", f"{len(new):,} new"]
    names = ", ".join(text(one.id) for one in new[:10])
    return f"{listed(told)}{f' ({names})' if names else ''}"
