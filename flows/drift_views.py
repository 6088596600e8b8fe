"""What a look for drift found, for terminals, for Prefect's interface and as JSON. Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.text import Text

from flows.markdown import code, prose, text
from flows.story import Tone
from flows.words import count, drift_words, listed, moment, one_line
from tasks.inspection import Cure, Drift

if TYPE_CHECKING:
    from flows.drifting import EnvironmentDrift

NOWHERE: Final = "Nothing was ever rolled out, so nothing can have drifted."
TONES: Final = {
    "as it should be": Tone.GOOD,
    "has drifted": Tone.BAD,
    "is being changed": Tone.WAIT,
    "could not be looked at": Tone.WARN,
}


def headline(found: Sequence["EnvironmentDrift"]) -> str:
    """`2 environments have drifted, 1 could not be looked at`. Only all is well if all was seen to be."""
    numbers = {name: sum(one.outcome.value == name for one in found) for name in TONES}
    parts = [
        f"{numbers['has drifted']} drifted" if numbers["has drifted"] else "",
        f"{numbers['could not be looked at']} could not be looked at"
        if numbers["could not be looked at"]
        else "",
        f"{numbers['is being changed']} being changed" if numbers["is being changed"] else "",
        f"{numbers['as it should be']} as it should be" if numbers["as it should be"] else "",
    ]
    healed = sum(len(one.healed) for one in found)
    told = listed([part for part in parts if part]) or "nothing to look at"
    return told + (f"; {count(healed, 'drift')} healed" if healed else "")


def tone(one: "EnvironmentDrift") -> Tone:
    return TONES[one.outcome.value]


def place_words(one: "EnvironmentDrift") -> str:
    """One environment in a sentence."""
    parts = [one.outcome.value]
    if one.drift:
        parts = [f"{one.outcome.value}: {'; '.join(map(drift_words, one.drift))}"]
    if one.healed:
        parts.append(f"healed: {'; '.join(map(drift_words, one.healed))}")
    if one.words:
        parts.append(one.words)
    return "; ".join(parts)


def what_to_do(one: Drift, place: "EnvironmentDrift") -> str:
    """For a person."""
    for left in place.left:
        if left.drift.cause == one.cause:
            return (
                f"it came back after {count(left.times, 'heal')}, so it is left alone until {moment(left.until)} UTC:"
                " find out who does it"
            )
    if one.advice or one.cure is Cure.PERSON:
        return one.advice
    heals = f"`bakewell drift {place.service} --heal` does it"
    return f"{one.cure.value} takes it away: {heals}"


# ---- terminals -----------------------------------------------------------------------------------


def drift_view(found: Sequence["EnvironmentDrift"]) -> RenderableType:
    if not found:
        return Text(NOWHERE)
    return Group(*(part for one in found for part in _place(one)), Text(headline(found)))


def _place(one: "EnvironmentDrift") -> Iterable[Text]:
    colours = {Tone.GOOD: "green", Tone.BAD: "bold red", Tone.WARN: "yellow"}
    title = Text(f"{one.service} {one.environment}  ", style="bold")
    yield title.append(one.outcome.value, style=colours.get(tone(one), ""))
    for drift in one.drift:
        yield Text(f"  ! {one_line(drift_words(drift))}", style="yellow")
        yield Text(f"    {one_line(what_to_do(drift, one))}", style="dim")
    yield from (
        Text(f"  healed: {one_line(drift_words(drift))}", style="green") for drift in one.healed
    )
    if one.words:
        yield Text(f"  {one_line(one.words)}")
    yield from (Text(f"  {one_line(words)}", style="dim") for words in _blind(one))


def _blind(one: "EnvironmentDrift") -> Iterable[str]:
    """What could not be seen: so that nobody takes it for well."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for each in one.not_looked:
        reasons.setdefault((each.aspect.value, each.reason), []).append(each.instance)
    for (aspect, reason), instances in reasons.items():
        of = f" ({listed(sorted(filter(None, instances)))})" if any(instances) else ""
        yield f"not looked at: {aspect}{of}: {reason}"
    if one.deeds_known_from:
        known = moment(one.deeds_known_from)
        yield f"what was done to instances is known from {known} UTC on; what an earlier look saw is in the journal"


# ---- Prefect's interface -------------------------------------------------------------------------


def markdown(found: Sequence["EnvironmentDrift"]) -> str:
    """Lists, no tables: Prefect's do not wrap. What has drifted first."""
    order = list(TONES)
    worst = ["has drifted", "could not be looked at", "is being changed"]
    ranked = sorted(
        found,
        key=lambda one: [*worst, *order].index(one.outcome.value),
    )
    lines = [f"# Drift: {text(headline(found))}", ""]
    for one in ranked:
        lines += _section(one)
    return "\n".join(lines) + "\n"


def _section(one: "EnvironmentDrift") -> Iterable[str]:
    yield f"## {text(one.service)} {text(one.environment)}: {text(one.outcome.value)}"
    yield ""
    for drift in one.drift:
        yield from _item(drift, one)
    yield from (f"- healed: {text(drift_words(drift))}" for drift in one.healed)
    if one.words:
        yield f"- {text(one.words)}"
    yield from (f"- {text(words)}" for words in _blind(one))
    yield ""


def _item(drift: Drift, place: "EnvironmentDrift") -> Iterable[str]:
    where = " ".join(filter(None, (code(drift.group), code(drift.instance))))
    yield f"- **{text(drift.kind.value)}** {where}".rstrip()
    yield f"    - found: {text(drift.found)}"
    yield f"    - should be: {text(drift.should)}"
    since = f"{moment(drift.since)} UTC" if drift.since else "not known"
    yield f"    - since: {since}; by: {text(drift.who or 'not known')}"
    yield f"    - what to do: {prose(what_to_do(drift, place))}"


# ---- machines ------------------------------------------------------------------------------------

Json = dict[str, JsonValue]


def drift_json(found: Sequence["EnvironmentDrift"]) -> list[Json]:
    """Per environment: service, environment, platform, outcome, words, drift, healed [{kind, group, instance, what, found,
    should, since, who, cure, advice}], left [{cause, times, until}], not_looked [{aspect, instance, reason}],
    deeds_known_from. Moments are ISO 8601 in UTC."""
    return [
        {
            "service": one.service,
            "environment": one.environment,
            "platform": one.platform,
            "outcome": one.outcome.value,
            "words": one.words or None,
            "drift": [_drift_json(drift, one) for drift in one.drift],
            "healed": [_drift_json(drift, one) for drift in one.healed],
            "left": [
                {
                    "cause": left.drift.cause,
                    "times": left.times,
                    "until": _moment(left.until),
                }
                for left in one.left
            ],
            "not_looked": [
                {
                    "aspect": each.aspect.value,
                    "instance": each.instance or None,
                    "reason": each.reason,
                }
                for each in one.not_looked
            ],
            "deeds_known_from": _moment(one.deeds_known_from),
        }
        for one in found
    ]


def _drift_json(drift: Drift, place: "EnvironmentDrift") -> Json:
    return {
        "kind": drift.kind.value,
        "group": drift.group or None,
        "instance": drift.instance or None,
        "what": drift.what or None,
        "found": drift.found,
        "should": drift.should,
        "since": _moment(drift.since),
        "who": drift.who or None,
        "cure": drift.cure.value,
        "advice": what_to_do(drift, place) or None,
    }


def _moment(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None
