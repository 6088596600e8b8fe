"""What Prometheus' HTTP API answers, as values. Pure.

`{"status": "success", "data": {"resultType": "vector"|"matrix", "result": [{"metric": {...}, "value": [time, "number"]}]}}`; of
native histograms `histogram` instead of `value`, with `buckets: [[rule, "left", "right", "count"], ...]`. Over a range `values`
and `histograms`, lists of the same.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

RESULT_TYPES: Final = ("vector", "matrix")


class UnusableAnswerError(ValueError):
    """What is wrong with it, in words that fit behind "found"."""


@dataclass(frozen=True)
class Native:
    """A native histogram: (left, right, count) of every bucket that is not empty."""

    buckets: tuple[tuple[float, float, float], ...]


Value = float | Native


@dataclass(frozen=True)
class Series:
    """One series: its labels, and its value at each time (seconds since 1970) for which it has one."""

    labels: Mapping[str, str]
    values: Mapping[float, Value]


def series_in(body: bytes) -> tuple[Series, ...]:
    """UnusableAnswerError if it is not a whole answer: a part of the truth is not the truth."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnusableAnswerError(f"something else than JSON: {_begin(body)}") from error
    try:
        return _series(answer)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        if isinstance(error, UnusableAnswerError):
            raise
        raise UnusableAnswerError(
            f"JSON that is no answer of Prometheus: {_begin(body)}"
        ) from error


def said(body: bytes) -> str:
    """The reason of a refused query, in the server's own words."""
    try:
        return str(json.loads(body)["error"])[:400]
    except (ValueError, KeyError, TypeError, RecursionError):
        return _begin(body)


def _series(answer: Mapping[str, Any]) -> tuple[Series, ...]:
    if answer["status"] != "success":
        raise UnusableAnswerError(f"{answer['status']}: {answer.get('error', 'without a reason')}")
    if warnings := answer.get("warnings"):
        # Thanos and Mimir answer with what they have when a store is away: counters would be missing or fall.
        raise UnusableAnswerError(
            f"an answer with a warning, so perhaps not all of it: {warnings[0]}"
        )
    data = answer["data"]
    if data["resultType"] not in RESULT_TYPES:
        raise UnusableAnswerError(f"a {data['resultType']} where series were asked for")
    return tuple(Series(dict(one["metric"]), dict(_values(one))) for one in data["result"])


def _values(one: Mapping[str, Any]) -> Iterator[tuple[float, Value]]:
    for time, text in [*one.get("values", ()), *([one["value"]] if "value" in one else [])]:
        yield float(time), float(text)
    histograms = [*one.get("histograms", ()), *([one["histogram"]] if "histogram" in one else [])]
    for time, found in histograms:
        yield float(time), Native(tuple(_buckets(found.get("buckets") or ())))


def _buckets(found: Sequence[Sequence[Any]]) -> Iterator[tuple[float, float, float]]:
    for _, left, right, count in found:
        yield float(left), float(right), float(count)


def _begin(body: bytes) -> str:
    return repr(" ".join(body[:120].decode(errors="replace").split()))
