"""Envoy's counters per instance, as a Reading. Pure.

`cluster.<group>.zone.splitter.<instance>.upstream_rq_*`, because each instance is a zone (see envoy_config.py). A
request counts when it has ended, once, by the answer users got: 5xx of the instance, or Envoy's own 503 for a connection
that broke or was refused, which has no latency. Whom users left before the answer counts nowhere. All of it restarts at 0 with Envoy, and with a group that is taken out and comes back.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from tasks.adapters.envoy_config import ALL_MS, BOUNDS_MS, SPLITTER_ZONE
from tasks.model import InstanceTraffic, LatencyHistogram

FILTER: Final = rf"^cluster\..*\.zone\.{SPLITTER_ZONE}\..*\.upstream_rq_(completed|5xx|time)$"
NAME: Final = re.compile(
    rf"cluster\.(?P<group>[^.]+)\.zone\.{SPLITTER_ZONE}\.(?P<instance>[^.]+)\.upstream_rq_(?P<what>\w+)"
)
Key = tuple[str, str]


def traffic_of(stats: Mapping[str, Any]) -> tuple[InstanceTraffic, ...]:
    """From /stats?format=json&histogram_buckets=disjoint. ValueError, KeyError, TypeError if it is something else."""
    counts: dict[Key, dict[str, int]] = defaultdict(dict)
    latencies: dict[Key, LatencyHistogram] = {}
    for stat in stats["stats"]:
        for histogram in stat.get("histograms", ()):
            if found := NAME.fullmatch(histogram["name"]):
                latencies[found["group"], found["instance"]] = _histogram(histogram["buckets"])
        if "value" in stat and (found := NAME.fullmatch(stat["name"])):
            counts[found["group"], found["instance"]][found["what"]] = int(stat["value"])
    empty = LatencyHistogram(BOUNDS_MS, (0,) * (len(BOUNDS_MS) + 1))
    return tuple(
        InstanceTraffic(
            *key, found.get("completed", 0), found.get("5xx", 0), latencies.get(key, empty)
        )
        for key, found in sorted(counts.items())
    )


def _histogram(buckets: list[dict[str, float]]) -> LatencyHistogram:
    """Envoy leaves out what is above its last bound: so its last is an hour, and stands for "above all of ours"."""
    by_bound = {float(one["upper_bound"]): int(one["cumulative"]) for one in buckets}
    return LatencyHistogram(BOUNDS_MS, tuple(by_bound[bound] for bound in (*BOUNDS_MS, ALL_MS)))
