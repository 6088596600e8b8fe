"""The evidence of each metric as a table in Markdown: how sure the judge is, what is ruled out, what is allowed. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from flows.evidence_plot import AT_MOST, MARGIN, ODDS, power
from flows.markdown import table, text
from flows.words import listed, percent
from tasks.observe.evidence import Comparison

NOTHING: Final = Comparison.NONE.value
COMPARED: Final = ": compared"
HEADINGS: Final = ("Metric", "Odds that it is worse", "At most", "Allowed", "How")


def evidence_table(numbers: Mapping[str, JsonValue]) -> Iterable[str]:
    """From the numbers of one judgement; nothing if they hold no evidence. What could be compared with nothing is only named."""
    metrics = [key.removesuffix(ODDS) for key in numbers if key.endswith(ODDS)]
    blind = [one for one in metrics if numbers.get(f"{one}{COMPARED}") == NOTHING]
    rows = [_row(one, numbers) for one in metrics if one not in blind]
    if rows:
        yield from table(HEADINGS, rows, HEADINGS[1:4])
    if rows and (needed := _number(numbers, "log_odds_needed")) is not None:
        yield f"It is rolled back when the odds reach {power(needed)}."
        yield ""
    if blind:
        yield f"There was {NOTHING}: {text(listed(blind))}."
        yield ""


def _row(metric: str, numbers: Mapping[str, JsonValue]) -> Sequence[str]:
    odds = _number(numbers, f"{metric}{ODDS}")
    at_most, margin = (_number(numbers, f"{metric}{end}") for end in (AT_MOST, MARGIN))
    return (
        text(metric),
        "" if odds is None else power(odds),
        "" if at_most is None else percent(at_most),
        "" if margin is None else percent(margin),
        text(str(numbers.get(f"{metric}{COMPARED}", ""))),
    )


def _number(numbers: Mapping[str, JsonValue], name: str) -> float | None:
    value = numbers.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
