"""Samples merged into batches: short looks for the guards, longer batches for the bets. Pure."""

from collections.abc import Iterator

from tasks.model import InstanceTraffic, LatencyHistogram, Sample
from tasks.observe.counting import add


class Window:
    """Collects samples until they cover `seconds`; every sample is in exactly one batch."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._open: list[Sample] = []

    def add(self, sample: Sample) -> Iterator[Sample]:
        """The batch that this sample completes, if it does."""
        self._open.append(sample)
        # Samples are never exactly as long as asked; nine tenths of a batch are one.
        if sum(one.seconds for one in self._open) >= 0.9 * self._seconds:
            yield merged(self._open)
            self._open = []


def merged(samples: list[Sample]) -> Sample:
    """What happened in all of them, per instance. Of a gauge the newest value."""
    if len(samples) == 1:
        return samples[0]
    found: dict[tuple[str, str], InstanceTraffic] = {}
    for sample in samples:
        for one in sample.instances:
            known = found.get((one.group, one.instance))
            found[one.group, one.instance] = _plus(known, one) if known else one
    return Sample(samples[-1].at, sum(one.seconds for one in samples), tuple(found.values()))


def _plus(before: InstanceTraffic, after: InstanceTraffic) -> InstanceTraffic:
    return InstanceTraffic(
        after.group,
        after.instance,
        before.requests + after.requests,
        before.failures + after.failures,
        add(before.latency, after.latency),
        after.gauges or before.gauges,
        _ratios(before, after),
        _histograms(before, after),
    )


def _ratios(before: InstanceTraffic, after: InstanceTraffic) -> tuple[tuple[str, int, int], ...]:
    found = {name: (bad, total) for name, bad, total in before.ratios}
    for name, bad, total in after.ratios:
        old_bad, old = found.get(name, (0, 0))
        found[name] = (old_bad + bad, old + total)
    return tuple((name, *counts) for name, counts in found.items())


def _histograms(
    before: InstanceTraffic, after: InstanceTraffic
) -> tuple[tuple[str, LatencyHistogram], ...]:
    found = dict(before.histograms)
    for name, more in after.histograms:
        found[name] = add(found.get(name, LatencyHistogram()), more)
    return tuple(found.items())
