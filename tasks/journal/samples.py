"""Samples as the journal has them: there is one every few seconds, so the bounds of histograms are written once. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import JsonValue

from tasks.model import InstanceTraffic, LatencyHistogram, Sample

PACKED: Final = "packed"
Bounds = list[tuple[float, ...]]


def packed(sample: Sample) -> dict[str, JsonValue]:
    """At 20 instances with 25 bounds less than 4 kB: rows of group, instance, requests, failures, which bounds, counts
    without the zeros at the end, and only where there are any gauges, ratios, histograms."""
    bounds: Bounds = []
    rows: list[JsonValue] = [list(_row(one, bounds)) for one in sample.instances]
    return {
        PACKED: {
            "at": sample.at.isoformat(),
            "seconds": sample.seconds,
            "bounds_ms": [list(one) for one in bounds],
            "instances": rows,
        }
    }


def unpacked(body: Mapping[str, Any]) -> Sample:
    """KeyError, IndexError, TypeError or ValueError if it is none."""
    found = body[PACKED]
    bounds = [tuple(float(bound) for bound in one) for one in found["bounds_ms"]]
    instances = tuple(_instance(row, bounds) for row in found["instances"])
    return Sample(datetime.fromisoformat(found["at"]), float(found["seconds"]), instances)


def _row(one: InstanceTraffic, bounds: Bounds) -> Iterator[JsonValue]:
    yield from (one.group, one.instance, one.requests, one.failures)
    yield from _packed_histogram(one.latency, bounds)
    ratios: dict[str, JsonValue] = {name: [bad, total] for name, bad, total in one.ratios}
    histograms: dict[str, JsonValue] = {
        name: list(_packed_histogram(found, bounds)) for name, found in one.histograms
    }
    if one.gauges or ratios or histograms:
        yield dict(one.gauges)
    if ratios or histograms:
        yield from (ratios, histograms)


def _packed_histogram(histogram: LatencyHistogram, bounds: Bounds) -> Iterator[JsonValue]:
    if histogram.bounds_ms not in bounds:
        bounds.append(histogram.bounds_ms)
    yield bounds.index(histogram.bounds_ms)
    yield list(_trimmed(histogram.counts))


def _instance(row: list[Any], bounds: Bounds) -> InstanceTraffic:
    group, instance, requests, failures, which, counts, *more = row
    gauges, ratios, histograms = [*more, {}, {}, {}][:3]
    return InstanceTraffic(
        str(group),
        str(instance),
        int(requests),
        int(failures),
        _histogram(which, counts, bounds),
        tuple((str(name), float(value)) for name, value in gauges.items()),
        tuple((str(name), int(bad), int(total)) for name, (bad, total) in ratios.items()),
        tuple(
            (str(name), _histogram(inner, found, bounds))
            for name, (inner, found) in histograms.items()
        ),
    )


def _histogram(which: int, counts: list[int], bounds: Bounds) -> LatencyHistogram:
    whole = (*counts, *(0,) * (len(bounds[which]) + 1 - len(counts)))
    return LatencyHistogram(bounds[which], tuple(int(count) for count in whole))


def _trimmed(counts: tuple[int, ...]) -> tuple[int, ...]:
    last = max((place for place, count in enumerate(counts, start=1) if count), default=0)
    return counts[:last]
