"""How a rebuild is shown: as lines in a terminal, as a summary in the Prefect UI, as JSON. Pure."""

from collections.abc import Iterator
from typing import Any

from flows.markdown import code, table, text
from flows.rebuild_state import RebuildState
from flows.words import count
from tasks.journal.rebuilds import RebuildDone
from tasks.rebuild.outcome import counted
from tasks.rebuild.rules import Plan
from tasks.stale import Rebuilt, Stale

MARKS = {
    Rebuilt.PATCHED: "✅ patched",
    Rebuilt.UNCHANGED: "⚪ unchanged",
    Rebuilt.FAILED: "❌ failed",
    Rebuilt.SKIPPED: "⏭ skipped",
}


def plan_lines(plan: Plan) -> Iterator[str]:
    """What would be rebuilt, in order, and why."""
    if not plan.stale:
        yield "nothing is stale"
    for number, one in enumerate(plan.stale, 1):
        after = f" (after {', '.join(one.after)})" if one.after else ""
        yield f"{number}. {one.service} {one.release}{after}"
        yield from (f"   {reason}" for reason in one.reasons)
    if plan.notes:
        yield "not changed by a rebuild, or not known:"
        yield from (f"   {note}" for note in plan.notes)


def plan_json(plan: Plan) -> dict[str, Any]:
    return {"stale": [_stale_json(one) for one in plan.stale], "notes": list(plan.notes)}


def _stale_json(one: Stale) -> dict[str, Any]:
    return {
        "service": one.service,
        "release": one.release,
        "digest": one.digest,
        "reasons": list(one.reasons),
        "after": list(one.after),
        "batch": one.batch,
    }


def done_lines(state: RebuildState) -> Iterator[str]:
    """What became of each."""
    yield f"{state.name}: {counted(state.outcomes.values())}"
    for one in state.stale:
        if done := state.done.get(one.service):
            told = f"; gone: {', '.join(done.fixed)}" if done.fixed else ""
            yield f"  {one.service}: {done.outcome.value}: {done.note}{told}"


def done_json(state: RebuildState) -> dict[str, Any]:
    return {
        "rebuild": state.name,
        "services": [
            {**_stale_json(one), **_done_json(done)}
            for one in state.stale
            if (done := state.done.get(one.service))
        ],
    }


def _done_json(done: RebuildDone) -> dict[str, Any]:
    return {
        "outcome": done.outcome.value,
        "note": done.note,
        "release": done.release,
        "fixed": list(done.fixed),
    }


def markdown(state: RebuildState) -> str:
    """A table of short cells, since they do not wrap; what needs a sentence is a list below it."""
    done = [(one, state.done[one.service]) for one in state.stale if one.service in state.done]
    fixed = sorted({each for _, one in done for each in one.fixed})
    lines = [f"# {text(state.name)}", "", f"{counted(state.outcomes.values())}.", ""]
    if not done:
        return "\n".join([*lines, "Nothing was stale."])
    rows = [
        (text(one.service), MARKS[each.outcome], code(each.release), str(len(each.fixed) or ""))
        for one, each in done
    ]
    lines += table(("service", "outcome", "release", "CVEs gone"), rows, ("CVEs gone",))
    if fixed:
        lines += [f"**Gone: {count(len(fixed), 'CVE')}**", ""]
        lines += [f"* {code(each)}" for each in fixed]
    lines += ["", "**Why, and what became of it**", ""]
    lines += [
        f"* {text(one.service)}: {text('; '.join(one.reasons))}. {text(each.note)}"
        for one, each in done
    ]
    return "\n".join(lines)
