"""Scan, bills, signature, attestations, verification of one image of 100 MB: ours against bare trivy and cosign."""

import json
import shutil
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from tasks.model import Artifact
from tests.benchmarks.evidence import bare
from tests.benchmarks.evidence.ground import BYTES, Base, Ground, base_layer, image
from tests.benchmarks.evidence.measuring import (
    Cost,
    Laps,
    cost_of,
    median,
    median_laps,
    run,
    spread,
    table,
    total,
)

ACCEPTED = 1.1
ROOT = Path(__file__).parents[3]
NUMBERS = count()


class Runs:
    """What was measured, in the order measured."""

    def __init__(self) -> None:
        self.ours: list[Laps] = []
        self.whole: list[Cost] = []
        self.bare: list[Laps] = []

    def scanning(self) -> list[Cost]:
        """The bare side with a scan for each bill."""
        return [total(one, _bare_names(one, bare.BY_CONVERSION)) for one in self.bare]

    def converting(self) -> list[Cost]:
        """The bare side with both bills converted from one report, which is the cleverest script we know."""
        return [total(one, _bare_names(one, bare.BY_SCANS)) for one in self.bare]


def measure(ground: Ground, runs: int, size: int = BYTES) -> str:
    """Markdown."""
    base = base_layer(ground.folder / "base.tgz", size)
    size_told = f"{base.unpacked_bytes / 1e6:.0f} MB in {base.files} files of this machine"
    packed = f"{base.packed.stat().st_size / 1e6:.0f} MB packed, and a small layer"
    told = [f"Image: {size_told}, {packed}; {runs} runs of each, interleaved.\n"]
    for name, warm in (("base layer never seen before", False), ("base layer known", True)):
        found = Runs()
        for number in range(runs):
            ours, theirs = _images(ground, base)
            for one in ("ours", "bare") if number % 2 else ("bare", "ours"):
                _forget(ground, warm)
                _measured(ground, found, one, ours if one == "ours" else theirs)
        told += _told(name, found)
    told += _in_prefect(ground, base)
    return "\n".join(told)


def _images(ground: Ground, base: Base) -> tuple[Artifact, Artifact]:
    """Two of the same size that nobody has seen."""
    number = next(NUMBERS)
    return (
        image(ground.store("ours"), base, f"ours {number}"),
        image(ground.store("bare"), base, f"bare {number}"),
    )


def _forget(ground: Ground, warm: bool) -> None:
    """What either Trivy remembers of layers. The system's own cache of files stays: the registry is on this machine."""
    if not warm:
        for cache in (ground.home / "trivy", ground.bare / "trivy"):
            for folder in cache.rglob("fanal"):
                shutil.rmtree(folder)


def _measured(ground: Ground, found: Runs, side: str, artifact: Artifact) -> None:
    if side == "bare":
        work = ground.bare / f"work-{artifact.digest[-12:]}"
        found.bare.append(bare.steps(ground, artifact, work))
        return
    laps: list[Laps] = []
    found.whole.append(cost_of(lambda: laps.append(ours_alone(ground, artifact))))
    found.ours.append(laps[0])


def ours_alone(ground: Ground, artifact: Artifact, *more: str) -> Laps:
    """In a process of its own, as the bare steps are."""
    command = [sys.executable, "-m", "tests.benchmarks.evidence.ours", artifact.reference, *more]
    said = json.loads(run(command, ground.environment, ROOT).splitlines()[-1])
    return {name: Cost(**cost) for name, cost in said.items()}


def _told(name: str, found: Runs) -> Iterator[str]:
    inside = [total(one) for one in found.ours]
    scanning, converting = found.scanning(), found.converting()
    rows = (
        ("ours, the steps", inside),
        ("ours, with the start of Python and all imports", found.whole),
        ("bare, a scan for each bill", scanning),
        ("bare, bills converted from the one report", converting),
    )
    yield f"**{name}**\n"
    yield table(
        ("", "seconds, median (min - max)", "processor seconds"),
        [(what, spread(costs), f"{median(costs).cpu_seconds:.2f}") for what, costs in rows],
    )
    for what, costs in rows[2:]:
        steps, whole = _ratio(inside, costs), _ratio(found.whole, costs)
        held = "held" if steps.seconds <= ACCEPTED else "MISSED"
        yield (
            f"ours / {what}: **{steps.seconds:.2f} x** (at most {ACCEPTED}: {held}), processor {steps.cpu_seconds:.2f} x;"
            f" with start and imports {whole.seconds:.2f} x\n"
        )
    for side, laps in (("ours", found.ours), ("bare", found.bare)):
        words = [f"{step} {cost.seconds:.2f}" for step, cost in median_laps(laps).items()]
        yield f"{side}: {', '.join(words)}\n"


def _ratio(ours: list[Cost], theirs: list[Cost]) -> Cost:
    """Median against median."""
    one, other = median(ours), median(theirs)
    return Cost(one.seconds / other.seconds, one.cpu_seconds / other.cpu_seconds)


def _bare_names(laps: Laps, without: tuple[str, ...]) -> list[str]:
    return [name for name in laps if name not in without]


def _in_prefect(ground: Ground, base: Base) -> Iterator[str]:
    """Three of each with the base layer known: once as they are, once as Prefect tasks."""
    plain, tasks = list[Cost](), list[Cost]()
    for _ in range(3):
        one, other = _images(ground, base)
        plain.append(total(ours_alone(ground, one)))
        tasks.append(total(ours_alone(ground, other, "--prefect")))
    more = median(tasks).seconds - median(plain).seconds
    yield (
        f"As Prefect tasks (four of them, base layer known): {median(tasks).seconds:.2f} s against"
        f" {median(plain).seconds:.2f} s: {more:+.2f} s.\n"
    )
