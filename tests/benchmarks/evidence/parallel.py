"""Different images at the same time on two cores: scanned, signed, attested, admitted, without a failure."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from flows.admission import ensure_admitted
from tasks.evidence import ScanReport
from tasks.model import Artifact
from tests.benchmarks.evidence.ground import Ground, base_layer, image
from tests.benchmarks.evidence.making import lenient, vouched
from tests.benchmarks.evidence.measuring import cost_of, table

BYTES = 5_000_000


def measure(ground: Ground, count: int) -> str:
    one_by_one = _images(ground, "one by one", range(count))
    at_once = _images(ground, "at once", range(count, 2 * count))
    in_turn = cost_of(lambda: _each(ground, one_by_one, 1))
    together = cost_of(lambda: _each(ground, at_once, count))
    rows = [
        (what, f"{cost.seconds:.1f}", f"{cost.seconds / count:.2f}", f"{cost.cpu_seconds:.1f}")
        for what, cost in (("one after the other", in_turn), (f"{count} at once", together))
    ]
    return (
        table(("", "seconds", "each", "processor seconds"), rows)
        + f"\nNo failure; at once takes {together.seconds / in_turn.seconds:.2f} x the time of one after the other.\n"
    )


def _images(ground: Ground, name: str, numbers: range) -> list[Artifact]:
    """No two share a layer."""
    store = ground.store(name.replace(" ", "-"))
    return [
        image(
            store,
            base_layer(ground.folder / f"base-{one}.tgz", BYTES, one * BYTES),
            f"{name} {one}",
        )
        for one in numbers
    ]


def _each(ground: Ground, artifacts: Sequence[Artifact], at_once: int) -> None:
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(_whole_way, artifacts))


def _whole_way(artifact: Artifact) -> None:
    found = vouched(artifact)
    if not isinstance(found.report, ScanReport) or not found.report.packages:
        raise SystemExit(f"{artifact.reference} was not scanned: {found.report}")
    ensure_admitted(artifact, lenient())
