"""The whole chain of one artifact, from its source to where it runs, as it can be proved: read out of its dossier. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime

from flows.facts import checked
from tasks.evidence import (
    Checked,
    Dossier,
    Ground,
    Kind,
    Package,
    Provenance,
    RolloutVerdict,
    ScanNotDone,
    ScanReport,
    SmokeTested,
)
from tasks.model import Artifact
from tasks.sign.bills import fullest
from tasks.sign.provenance import read_provenance
from tasks.sign.rules import newest_scan
from tasks.sign.statements import read_smoke, read_verdict


@dataclass(frozen=True)
class Place:
    """Where it runs, or should. `weight` (percent) and `ready` are as the platform shows them; None: it did not answer."""

    service: str
    environment: str
    platform: str
    release: str
    role: str
    wanted: int
    weight: int | None
    ready: int | None


@dataclass(frozen=True)
class Chain:
    """What is proved of one artifact, link by link. Only what the right role vouches for is in it.

    `origins`, `tests` and `verdicts`: newest first. `base` is what its manifest says it stands on, which nobody need vouch
    for. `packages` is None without a readable bill. `kinds`: what evidence of each kind is worth as a whole.
    """

    artifact: Artifact
    origins: tuple[Provenance, ...]
    base: str
    packages: tuple[Package, ...] | None
    scan: ScanReport | ScanNotDone | None
    signatures: tuple[Checked, ...]
    kinds: tuple[Checked, ...]
    tests: tuple[SmokeTested, ...]
    verdicts: tuple[RolloutVerdict, ...]
    quarantines: tuple[Ground, ...] = ()
    places: tuple[Place, ...] = ()


def chain(
    dossier: Dossier,
    base: str,
    quarantines: tuple[Ground, ...] = (),
    places: tuple[Place, ...] = (),
) -> Chain:
    """Of evidence as it was read."""
    origins = filter(None, map(read_provenance, dossier.valid(Kind.PROVENANCE)))
    tests = filter(None, map(read_smoke, dossier.valid(Kind.SMOKE_TEST)))
    verdicts = filter(None, map(read_verdict, dossier.valid(Kind.VERDICT)))
    never = datetime.min.replace(tzinfo=UTC)
    return Chain(
        dossier.artifact,
        tuple(sorted(origins, key=lambda one: one.finished_at or never, reverse=True)),
        base,
        fullest(dossier.valid(Kind.CYCLONEDX)),
        newest_scan(dossier.valid(Kind.SCAN), dossier.artifact.digest),
        dossier.signatures,
        tuple(checked(dossier, kind) for kind in Kind if kind is not Kind.SIGNATURE),
        tuple(sorted(tests, key=lambda one: one.at, reverse=True)),
        tuple(sorted(verdicts, key=lambda one: one.at, reverse=True)),
        quarantines,
        places,
    )
