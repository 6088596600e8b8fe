"""What is asked of Prometheus for one reading, as PromQL. Pure.

Raw counters and the times of their scrapes, all in one query, so that they are from the same moment: parts are told apart by
the label `bakewell`. Native histograms are asked on their own, because label_replace() of Prometheus 2 empties them.
Counters are summed over an instance's series (method, path, status), but never over two targets: that would count twice.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tasks.sources import (
    SELECTOR,
    GaugeSli,
    HistogramSli,
    PrometheusSource,
    RatioSli,
    Sli,
    labels_in,
)

PART: Final = "bakewell"
TARGET_LABELS: Final = ("job", "instance", "prometheus", "prometheus_replica", "replica")
REQUESTS: Final = "requests"
FAILURES: Final = "failures"
LATENCY: Final = "latency"
UP: Final = "up"


class Shape(Enum):
    """What the answer to a question looks like."""

    COUNTER = "counter"
    CLASSIC = "classic histogram"
    NATIVE = "native histogram"
    GAUGE = "gauge"


@dataclass(frozen=True)
class Question:
    """`text` is what a person wrote or a preset says, `query` what is asked for the values, `times` for their scrapes (empty:
    it cannot be told)."""

    name: str
    shape: Shape
    text: str
    query: str
    times: str = ""


def questions(source: PrometheusSource, slis: Sequence[Sli]) -> tuple[Question, ...]:
    """Everything that one reading consists of."""
    return tuple(_questions(source, slis))


def joined(asked: Sequence[Question]) -> str:
    """One query for all values and times but those of native histograms."""
    parts = [_part(one.name, one.query) for one in asked if one.shape is not Shape.NATIVE]
    parts += [_part(times_of(one.name), one.times) for one in asked if one.times]
    return "\nor ".join(parts)


def times_of(name: str) -> str:
    """The part that holds when it was scraped."""
    return f"{name} scraped"


def _questions(source: PrometheusSource, slis: Sequence[Sli]) -> Iterator[Question]:
    signals = source.signals
    yield _counter(REQUESTS, _among(signals.requests, signals.failures), source)
    yield _counter(FAILURES, signals.failures, source)
    if signals.latency:
        yield _histogram(LATENCY, signals.latency, source)
    yield Question(UP, Shape.COUNTER, UP, *_summed(labelled(UP, source.selector), source, "max"))
    for sli in slis:
        yield from _own(sli, source)


def _own(sli: Sli, source: PrometheusSource) -> Iterator[Question]:
    match sli:
        case RatioSli():
            part = sli.bad or sli.good or ""
            yield _counter(f"{sli.name} part", part, source)
            yield _counter(f"{sli.name} total", _among(sli.total, part), source)
        case HistogramSli():
            yield _histogram(sli.name, sli.buckets, source)
        case GaugeSli():
            plain = re.fullmatch(rf"\s*{SELECTOR}\s*", sli.query) is not None
            query = labelled(sli.query, source.selector) if plain else sli.query
            times = _summed(query, source)[1] if plain else ""
            yield Question(sli.name, Shape.GAUGE, sli.query, f"({query})", times)


def _counter(name: str, selector: str, source: PrometheusSource) -> Question:
    query, times = _summed(labelled(selector, source.selector), source)
    return Question(name, Shape.COUNTER, selector, query, times)


def _histogram(name: str, selector: str, source: PrometheusSource) -> Question:
    classic = "_bucket" in selector.partition("{")[0] or '_bucket"' in selector
    shape = Shape.CLASSIC if classic else Shape.NATIVE
    full = labelled(selector, source.selector)
    query, times = _summed(full, source, more=("le",) if classic else ())
    return Question(name, shape, selector, query, times)


def _summed(
    selector: str, source: PrometheusSource, how: str = "sum", more: tuple[str, ...] = ()
) -> tuple[str, str]:
    """Per target, the values and the time of the newest scrape."""
    labels = dict.fromkeys((source.instance_label, *TARGET_LABELS))
    by, by_all = ", ".join(labels), ", ".join((*labels, *more))
    return f"{how} by ({by_all}) ({selector})", f"max by ({by}) (timestamp({selector}))"


def _among(whole: str, part: str) -> str:
    """All series that could be counted in the part: of the same metric, with the labels that the part is chosen by. So a label
    that does not exist leaves nothing to count, instead of everything without a failure."""
    if whole.partition("{")[0].strip() != part.partition("{")[0].strip():
        return whole
    new = [label for label in labels_in(part) if label not in labels_in(whole)]
    return labelled(whole, {}, [f'{label}!=""' for label in new])


def labelled(selector: str, labels: Mapping[str, str], matchers: Sequence[str] = ()) -> str:
    """The selector, narrowed by these labels."""
    more = [f"{name}={_quoted(value)}" for name, value in sorted(labels.items())]
    more += matchers
    if not more:
        return selector.strip()
    name, brace, rest = selector.strip().partition("{")
    known = rest.rstrip().removesuffix("}").strip().removesuffix(",").strip() if brace else ""
    inner = ", ".join(filter(None, [known, *more]))
    return f"{name.strip()}{{{inner}}}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _part(name: str, query: str) -> str:
    return f'label_replace({query}, "{PART}", "{name}", "", "")'
