"""What others do with the same samples: a threshold judge like Argo Rollouts and Flagger, and one like Kayenta. Pure.

Models of their rules, as their sources and documentation have them, not their code. Both are given what suits them: limits
that the good version keeps, a fresh baseline of the canary's load, and the whole soak.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Final

import numpy as np

from tasks.model import InstanceTraffic, Judgement, LatencyHistogram, Sample, Unseen, Verdict
from tasks.observe.betting import Floats
from tasks.observe.counting import totals

BASELINE: Final = "-baseline"
NORMAL_99: Final = 2.3263  # the normal distribution's 99th percentile: a two-sided interval of 98 %


def windows(samples: Sequence[Sample | Unseen], seconds: float) -> Iterator[list[Sample]]:
    """Samples that cover so many seconds together, one window after the other; the last may be left open."""
    found: list[Sample] = []
    for sample in samples:
        if isinstance(sample, Sample):
            found.append(sample)
        if sum(one.seconds for one in found) >= 0.95 * seconds:
            yield found
            found = []


def interpolated_ms(latency: LatencyHistogram, share: float) -> float:
    """Like Prometheus' histogram_quantile: linear inside a bucket; above all bounds the last one; 0 without data."""
    if not latency.total:
        return 0.0
    rank, cumulated = share * latency.total, list(accumulate(latency.counts))
    place = next(i for i, count in enumerate(cumulated) if count >= rank)
    if place == len(latency.bounds_ms):
        return latency.bounds_ms[-1]
    low = latency.bounds_ms[place - 1] if place else 0.0
    into = (rank - (cumulated[place] - latency.counts[place])) / max(latency.counts[place], 1)
    return low + (latency.bounds_ms[place] - low) * into


@dataclass(frozen=True)
class ThresholdJudge:
    """Argo Rollouts with the conditions that Flagger has built in: in each window of `window_seconds` at least
    `success` of the canary's requests succeed, and its p99 is at most `p99_ms`. More than `failure_limit` windows that
    fail end it; it is promoted after the soak. A window without requests passes, as NaN does with a condition for
    failure."""

    soak_seconds: float
    success: float = 0.99
    p99_ms: float = 300.0
    window_seconds: float = 30.0
    failure_limit: int = 1

    def judge(
        self,
        samples: Sequence[Sample | Unseen],
        canary: str,
        peers: tuple[str, ...],
        started_at: datetime,
        now: datetime,
    ) -> Judgement:
        failed = [
            problem
            for window in windows(samples, self.window_seconds)
            if (problem := self._problem(window, canary))
        ]
        if len(failed) > self.failure_limit:
            return Judgement(Verdict.ROLL_BACK, "; ".join(failed))
        if (now - started_at).total_seconds() >= self.soak_seconds:
            return Judgement(Verdict.PROMOTE, f"{len(failed)} windows failed")
        return Judgement(Verdict.KEEP_OBSERVING, f"{len(failed)} windows failed")

    def _problem(self, window: list[Sample], canary: str) -> str:
        seen = totals(window, {canary})
        p99 = interpolated_ms(seen.latency, 0.99)
        if seen.requests and 1 - seen.failure_share < self.success:
            return f"success {1 - seen.failure_share:.1%}"
        return f"p99 {p99:.0f} ms" if p99 > self.p99_ms else ""


Series = Callable[[list[Sample], str], float]


def _errors(window: list[Sample], group: str) -> float:
    return totals(window, {group}).failure_share


def _quantile(share: float) -> Series:
    def found(window: list[Sample], group: str) -> float:
        return interpolated_ms(totals(window, {group}).latency, share)

    return found


def _memory(window: list[Sample], group: str) -> float:
    held = [dict(one.gauges).get("memory", 0.0) for one in _instances(window, group)]
    return float(np.mean(held)) if held else 0.0


def _instances(window: list[Sample], group: str) -> list[InstanceTraffic]:
    return [one for sample in window for one in sample.instances if one.group == group]


SERIES: Final[dict[str, Series]] = {
    "errors": _errors,
    "p50": _quantile(0.5),
    "p99": _quantile(0.99),
    "memory": _memory,
}


@dataclass(frozen=True)
class KayentaJudge:
    """One value per metric and interval, canary against the fresh baseline; once, at the end of the soak. A metric that
    is High in Mann and Whitney's test ends it."""

    soak_seconds: float
    interval_seconds: float = 20.0
    tolerance: float = 0.25

    def judge(
        self,
        samples: Sequence[Sample | Unseen],
        canary: str,
        peers: tuple[str, ...],
        started_at: datetime,
        now: datetime,
    ) -> Judgement:
        if (now - started_at).total_seconds() < self.soak_seconds:
            return Judgement(Verdict.KEEP_OBSERVING, "it judges at the end")
        found = list(windows(samples, self.interval_seconds))
        control = next(one for one in peers if one.endswith(BASELINE))
        high = [
            name
            for name, value in SERIES.items()
            if is_high(
                np.array([value(one, canary) for one in found]),
                np.array([value(one, control) for one in found]),
                self.tolerance,
            )
        ]
        verdict = Verdict.ROLL_BACK if high else Verdict.PROMOTE
        return Judgement(verdict, f"high: {', '.join(high) or 'nothing'}")


def is_high(canary: Floats, control: Floats, tolerance: float) -> bool:
    """Kayenta's MannWhitneyClassifier: the lower end of the 98 % confidence interval of the shift is above `tolerance`
    times the Hodges-Lehmann estimate of the shift (asymptotic branch, corrected for ties and continuity)."""
    differences = canary[:, None] - control[None, :]
    least = tolerance * abs(float(np.median(differences)))
    wins = float((differences > least).sum() + 0.5 * (differences == least).sum())
    pooled = np.concatenate([canary - least, control])
    _, ties = np.unique(pooled, return_counts=True)
    m, n, everybody = len(canary), len(control), len(pooled)
    corrected = everybody + 1 - float((ties**3 - ties).sum()) / (everybody * (everybody - 1))
    spread = np.sqrt(m * n / 12 * max(corrected, 0.0))
    away = wins - m * n / 2
    return bool(spread > 0 and (away - 0.5 * np.sign(away)) / spread > NORMAL_99)
