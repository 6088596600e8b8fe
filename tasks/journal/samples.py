"""Samples as the journal has them: there is one every few seconds, so the bounds of histograms are written once. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import JsonValue

from tasks.model import InstanceTraffic, LatencyHistogram, Sample

PACKED: Final = "packed"


def packed(sample: Sample) -> dict[str, JsonValue]:
    """At 20 instances with 25 bounds less than 4 kB: rows of group, instance, requests, failures, which bounds, counts
    without the zeros at the end, gauges."""
    bounds: list[tuple[float, ...]] = []
    rows: list[JsonValue] = []
    for one in sample.instances:
        if one.latency.bounds_ms not in bounds:
            bounds.append(one.latency.bounds_ms)
        which = bounds.index(one.latency.bounds_ms)
        row: list[JsonValue] = [one.group, one.instance, one.requests, one.failures, which]
        row.append(list(_trimmed(one.latency.counts)))
        if one.gauges:
            row.append(dict(one.gauges))
        rows.append(row)
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


def _instance(row: list[Any], bounds: list[tuple[float, ...]]) -> InstanceTraffic:
    group, instance, requests, failures, which, counts, *gauges = row
    whole = (*counts, *(0,) * (len(bounds[which]) + 1 - len(counts)))
    named = tuple((str(name), float(value)) for name, value in gauges[0].items()) if gauges else ()
    latency = LatencyHistogram(bounds[which], tuple(int(count) for count in whole))
    return InstanceTraffic(str(group), str(instance), int(requests), int(failures), latency, named)


def _trimmed(counts: tuple[int, ...]) -> tuple[int, ...]:
    last = max((place for place, count in enumerate(counts, start=1) if count), default=0)
    return counts[:last]
