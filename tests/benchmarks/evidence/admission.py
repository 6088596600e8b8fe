"""Admission: asked the first time, remembered, with much evidence, a thousand times at once."""

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from flows.admission import admit, ensure_admitted
from tasks import platforms
from tasks.model import Admission, Artifact
from tasks.policy import PolicyInForce
from tasks.sign import evidence
from tests.benchmarks.evidence.ground import SERVICE, Ground, base_layer, image
from tests.benchmarks.evidence.making import lenient, more_evidence, vouched
from tests.benchmarks.evidence.measuring import table

LIMIT_MS = 20.0
REFERRERS = (4, 10, 50)
THREADS = 16
BASE_BYTES = 5_000_000


def measure(ground: Ground, times: int, starts: int) -> str:
    base = base_layer(ground.folder / "small.tgz", BASE_BYTES)
    places = {
        "layout": platforms.store(f"layout:{ground.home / 'artifacts' / SERVICE}"),
        "registry": ground.store("admission"),
    }
    policy, rows, told = lenient(), list[tuple[str, ...]](), ""
    for name, store in places.items():
        artifact, had = image(store, base, "admission"), 0
        vouched(artifact)
        for referrers in REFERRERS:
            more_evidence(artifact, range(had, referrers - REFERRERS[0]))
            had = max(had, referrers - REFERRERS[0])
            rows.append((name, str(referrers + 1), *_asked(artifact, policy, times)))
            if referrers == REFERRERS[0]:
                told += _thousand(name, artifact, policy, starts)
    head = ("store", "referrers", "checked, ms", "remembered, median ms", "worst ms", "")
    reading = _milliseconds(lambda: platforms.policy("default"), times)
    return (
        f"{table(head, rows)}\nTo read the policy: {statistics.median(reading):.1f} ms, worst {max(reading):.1f} ms; every"
        f" flow does it once.\n\n{told}"
    )


def _asked(artifact: Artifact, policy: PolicyInForce, times: int) -> tuple[str, ...]:
    """What else was kept of it no longer counts: its evidence has changed since."""
    first = _milliseconds(lambda: _admitted(artifact, policy), 1)[0]
    again = _milliseconds(lambda: _admitted(artifact, policy), times)
    middle = statistics.median(again)
    verdict = "held" if middle < LIMIT_MS else "MISSED"
    return f"{first:.0f}", f"{middle:.1f}", f"{max(again):.1f}", f"< {LIMIT_MS:g} ms {verdict}"


def _admitted(artifact: Artifact, policy: PolicyInForce) -> None:
    ruling = admit(artifact, policy)
    if ruling.answer is not Admission.ADMIT:
        raise SystemExit(f"refused: {ruling.reason}")


def _milliseconds(action: Callable[[], object], times: int) -> list[float]:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        found.append((time.perf_counter() - began) * 1000)
    return found


def _thousand(name: str, artifact: Artifact, policy: PolicyInForce, starts: int) -> str:
    """With nothing remembered: one after the other, then in threads under a policy nobody has asked by."""
    told = ""
    for how, threads in (("one after the other", 1), (f"in {THREADS} threads", THREADS)):
        fresh = PolicyInForce(policy.name, policy.policy, f"{policy.fingerprint[:-4]}{threads:04d}")
        with _counted() as examined, ThreadPoolExecutor(threads) as pool:
            began = time.perf_counter()
            list(pool.map(lambda _, by=fresh: ensure_admitted(artifact, by), range(starts)))
            seconds = time.perf_counter() - began
        told += (
            f"{starts:,} starts of one digest, {name}, {how}: evidence verified {len(examined)} x, {seconds:.1f} s,"
            f" {1000 * seconds / starts:.1f} ms each.\n\n"
        )
    return told


@contextmanager
def _counted() -> Iterator[list[str]]:
    """Which artifacts were examined, each time."""
    examined, real = list[str](), evidence.examine

    def counting(artifact: Artifact) -> object:
        examined.append(artifact.digest)
        return real(artifact)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "examine", counting)
        yield examined
