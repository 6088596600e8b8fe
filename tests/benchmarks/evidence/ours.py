"""Our side of the pipeline as one process: `python -m tests.benchmarks.evidence.ours REFERENCE [--prefect]`.

The same calls in the same order as the release flow; one line of JSON says what each step took. With `--prefect` they are
the flow's own Prefect tasks, against the server of the home.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict

from tasks.evidence import Scanned, Statement
from tasks.model import Artifact
from tasks.sign import evidence
from tasks.sign.provenance import provenance
from tasks.sign.rules import scan_statements
from tests.benchmarks.evidence.ground import SERVICE
from tests.benchmarks.evidence.measuring import Laps, cost_of
from tests.support.baking import service
from tests.support.provenances import MAKING, MATERIALS, SOURCE

Scan = Callable[[Artifact], Scanned]
Attest = Callable[[Artifact, Sequence[Statement]], None]
Sign = Callable[[Artifact], None]


def main(reference: str, in_prefect: bool) -> None:
    repository, _, digest = reference.partition("@")
    artifact = Artifact(SERVICE, digest, repository)
    laps = by_prefect(artifact) if in_prefect else directly(artifact)
    print(json.dumps({name: asdict(cost) for name, cost in laps.items()}))


def directly(artifact: Artifact) -> Laps:
    from tasks.scan.scanning import scan

    return steps(artifact, scan, evidence.attest, evidence.sign)


def by_prefect(artifact: Artifact) -> Laps:
    from flows.run import prefect_is_there

    with prefect_is_there():
        from prefect import flow

        from tasks.scan.actions import scan_artifact
        from tasks.sign.actions import attest_artifact, sign_artifact

        @flow(validate_parameters=False)
        def pipeline() -> Laps:
            return steps(artifact, scan_artifact, attest_artifact, sign_artifact)

        return pipeline()


def steps(artifact: Artifact, scan: Scan, attest: Attest, sign: Sign) -> Laps:
    """All evidence is verified by each of `attest` and `sign`, and once more at the end, as admission does."""
    found: list[Scanned] = []
    laps = {"scan and bills": cost_of(lambda: found.append(scan(artifact)))}
    said = scan_statements(found[0], evidence.examine(artifact))
    laps["attest scan and bills"] = cost_of(lambda: attest(artifact, said))
    laps["sign"] = cost_of(lambda: sign(artifact))
    origin = provenance(service(), SOURCE, MATERIALS, MAKING)
    laps["attest provenance"] = cost_of(lambda: attest(artifact, [origin]))
    laps["verify all"] = cost_of(lambda: evidence.examine(artifact))
    if len(said) != 3:
        raise SystemExit(f"asked for a scan and two bills; found {[one.kind for one in said]}")
    return laps


if __name__ == "__main__":
    main(sys.argv[1], "--prefect" in sys.argv)
