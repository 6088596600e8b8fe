"""What others do with the same streams: thresholds as in Argo Rollouts and Flagger, Kayenta's classifier, z-tests, mSPRT,
Lindon & Malek, the anytime DKW band of KDD'22, a multinomial mixture. Each returns the step at which a run is rolled back.

Re-implementations (notes, section 2 has the sources): of Kayenta the asymptotic branch of its Mann-Whitney classifier.
"""

from math import inf
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.judge.latencies import BOUNDS_MS
from tests.benchmarks.judge.ours import NEVER
from tests.benchmarks.judge.worlds import STEPS, Counts, Shares, coarsened

ALPHA: Final = 0.01
MINUTE: Final = 12  # steps
WINDOW: Final = 6  # steps of a threshold's query: 30 s

Arms = tuple[Counts, Counts, Counts, Counts]
"""Failures and requests of the canary, of the baseline: [runs, steps] each."""


def first(hit: NDArray[np.bool_], stride: int = 1) -> Counts:
    """When it became known, in steps."""
    return np.where(hit.any(1), (hit.argmax(1) + 1) * stride - 1, NEVER)


def quantile_of_normal(share: float) -> float:
    return NormalDist().inv_cdf(share)


# ---- thresholds ----------------------------------------------------------------------------------


def threshold(bad: Counts, total: Counts, least: float, limit: int) -> Counts:
    """Success of the last 30 s, asked every 30 s; more than `limit` failed measurements roll back. NaN is a success."""
    total, bad = coarsened(total, WINDOW), coarsened(bad, WINDOW)
    failed = (total > 0) & (1 - bad / np.maximum(total, 1) < least)
    return first(failed.cumsum(1) > limit, WINDOW)


def latency_threshold(counts: Counts, ceiling_ms: float, limit: int) -> Counts:
    recent = coarsened(counts, WINDOW)
    failed = (recent.sum(-1) > 0) & (histogram_quantile(recent, 0.99) > ceiling_ms)
    return first(failed.cumsum(1) > limit, WINDOW)


def histogram_quantile(counts: Counts, share: float) -> Shares:
    """Prometheus' function: linear within a bucket; above all bounds the last of them."""
    cumulated = counts.cumsum(-1)
    rank = share * cumulated[..., -1]
    place = np.minimum((cumulated < rank[..., None]).sum(-1), len(BOUNDS_MS))
    low = np.array([0.0, *BOUNDS_MS])[place]
    high = np.array([*BOUNDS_MS, BOUNDS_MS[-1]])[place]
    lower = np.take_along_axis(cumulated, np.maximum(place - 1, 0)[..., None], -1)[..., 0]
    inside = np.take_along_axis(counts, place[..., None], -1)[..., 0]
    share_inside = (rank - np.where(place > 0, lower, 0)) / np.maximum(inside, 1)
    return np.asarray(low + (high - low) * share_inside)


# ---- Kayenta -------------------------------------------------------------------------------------


def higher(canary: Shares, baseline: Shares) -> NDArray[np.bool_]:
    """Mann-Whitney at 98 % confidence, tolerance 0.25 of the Hodges-Lehmann estimate: "High". [runs, values] each."""
    apart = canary[:, :, None] - baseline[:, None, :]
    shift = 0.25 * np.abs(np.median(apart.reshape(len(canary), -1), axis=1))
    moved = apart - shift[:, None, None]
    wins = (moved > 0).sum((1, 2)) + 0.5 * (moved == 0).sum((1, 2))
    pooled = np.concatenate([canary - shift[:, None], baseline], 1)
    ties = ((pooled[:, :, None] == pooled[:, None, :]).sum(2).astype(float) ** 2 - 1).sum(1)
    m, n = canary.shape[1], baseline.shape[1]
    sigma = np.sqrt(m * n / 12 * (m + n + 1 - ties / ((m + n) * (m + n - 1))))
    centred = wins - m * n / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.nan_to_num((centred - 0.5 * np.sign(centred)) / sigma)
    return np.asarray(z > quantile_of_normal(0.99))


def kayenta(canary: Shares, baseline: Shares, peek_from: int | None = None) -> Counts:
    """One value a minute: [runs, 15]. `peek_from`: a verdict every minute from there on, else one at the end."""
    minutes = canary.shape[1]
    found = np.full(len(canary), NEVER)
    for count in [minutes] if peek_from is None else range(peek_from, minutes + 1):
        high = higher(canary[:, :count], baseline[:, :count])
        found = np.where((found == NEVER) & high, count * MINUTE - 1, found)
    return found


def by_minute(bad: Counts, total: Counts) -> Shares:
    total, bad = coarsened(total, MINUTE), coarsened(bad, MINUTE)
    return np.asarray(bad / np.maximum(total, 1))


# ---- tests on counts -----------------------------------------------------------------------------


def z_test(arms: Arms, peek: bool) -> Counts:
    bad, total, others_bad, others = (one.cumsum(1) for one in arms)
    pooled = (bad + others_bad) / np.maximum(total + others, 1)
    error = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(total, 1) + 1 / np.maximum(others, 1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (bad / np.maximum(total, 1) - others_bad / np.maximum(others, 1)) / error
    hit = (np.nan_to_num(z) > quantile_of_normal(1 - ALPHA)) & (total >= 30)
    return first(hit) if peek else np.where(hit[:, -1], STEPS - 1, NEVER)


def msprt(arms: Arms, tau: float = 0.005) -> Counts:
    """Johari et al.: normal mixture on the difference of two proportions (asymptotic)."""
    bad, total, others_bad, others = (one.cumsum(1).astype(float) for one in arms)
    own, theirs = bad / np.maximum(total, 1), others_bad / np.maximum(others, 1)
    variance = own * (1 - own) / np.maximum(total, 1)
    variance += theirs * (1 - theirs) / np.maximum(others, 1)
    enough = (bad + others_bad >= 5) & (total >= 30)
    variance = np.where(enough, np.maximum(variance, 1e-12), inf)
    apart = own - theirs
    with np.errstate(invalid="ignore"):
        found = 0.5 * np.log(variance / (variance + tau**2))
        found += tau**2 * apart**2 / (2 * variance * (variance + tau**2))
    return first((np.nan_to_num(found, nan=-inf) > -np.log(ALPHA)) & (apart > 0))


def lindon_malek(arms: Arms, weight: float = 100.0) -> Counts:
    """NeurIPS 2022: a Dirichlet mixture on which arm the next error falls on."""
    bad, total, others_bad, others = arms
    share = (total.sum(1) / (total.sum(1) + others.sum(1)))[:, None]
    a, b = weight * share, weight * (1 - share)
    own, theirs = bad.cumsum(1), others_bad.cumsum(1)
    found = log_beta(a + own, b + theirs) - log_beta(a, b)
    return first(found - own * np.log(share) - theirs * np.log1p(-share) > -np.log(ALPHA))


# ---- tests on histograms -------------------------------------------------------------------------


def dkw_band(canary: Counts, baseline: Counts, least: int = 32) -> Counts:
    """KDD'22: two anytime bands (Howard & Ramdas 2022, theorem 2); the canary's lies wholly on the slower side."""
    constant = _band_constant(ALPHA / 2)
    own, theirs = canary.cumsum(1), baseline.cumsum(1)
    n, m = own.sum(-1), theirs.sum(-1)
    below = own.cumsum(-1) / np.maximum(n, 1)[..., None]
    others = theirs.cumsum(-1) / np.maximum(m, 1)[..., None]

    def radius(count: Counts) -> Shares:
        grown = np.log(1 + np.log(np.maximum(count, least) / least)) + constant
        return np.where(count >= least, 0.85 * np.sqrt(grown / np.maximum(count, 1)), inf)

    return first((others - below).max(-1) > radius(n) + radius(m))


def _band_constant(alpha: float, a: float = 0.85) -> float:
    def error(constant: float) -> float:
        etas = 1 + np.geomspace(1e-4, 2 * a * a - 1, 400)
        root = np.maximum(a - np.sqrt(2 * (etas - 1) / constant), 0)
        gamma = 2 / etas * root**2
        with np.errstate(divide="ignore"):
            terms = 1 + 1 / ((gamma - 1) * np.log(etas))
        bound = np.where(gamma > 1 + 1e-9, 4 * np.exp(-gamma * constant) * terms, 1e9)
        return float(bound.min())

    low, high = 3.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if error(middle) > alpha else (low, middle)
    return high


def multinomial(canary: Counts, baseline: Counts, weight: float = 2.0) -> Counts:
    """For each bucket a beta mixture on which arm the request fell in; any difference counts."""
    n = canary.sum((1, 2))
    share = (n / (n + baseline.sum((1, 2))))[:, None, None]
    a, b = weight * share, weight * (1 - share)
    own, theirs = canary.cumsum(1), baseline.cumsum(1)
    found = log_beta(a + own, b + theirs) - log_beta(a, b)
    found = found - own * np.log(share) - theirs * np.log1p(-share)
    return first(found.sum(-1) > -np.log(ALPHA))


# ---- special functions: no dependency only for these ---------------------------------------------


def log_beta(a: Any, b: Any) -> Shares:
    return log_gamma(a) + log_gamma(b) - log_gamma(np.asarray(a) + b)


def log_gamma(value: Any) -> Shares:
    """Stirling's series after moving up by 8: to 12 digits for positive arguments."""
    x = np.asarray(value, float)
    moved = np.ones_like(x)
    for step in range(8):
        moved = moved * (x + step)
    y = x + 8
    series = 1 / (12 * y) - 1 / (360 * y**3) + 1 / (1260 * y**5) - 1 / (1680 * y**7)
    return np.asarray((y - 0.5) * np.log(y) - y + 0.5 * np.log(2 * np.pi) + series - np.log(moved))
