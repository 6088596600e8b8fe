"""Services that run already, on the platform in memory: as if they had been released, in a hundredth of the time."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flows.heal import heal_environment
from flows.standing import standing
from flows.tenure import tenure
from tasks import platforms
from tasks.adapters.git import source_of
from tasks.adapters.memory import MemoryScanner, world_named
from tasks.adapters.service_file import read_service
from tasks.bake.bakery import Baked, bake
from tasks.evidence import Finding, FindingKind, ScanReport, Severity
from tasks.journal.rules import (
    BakedBody,
    Deployed,
    Promoted,
    ReleaseFinished,
    ReleaseStarted,
    RolloutStarted,
    fold,
    record,
)
from tasks.model import Artifact, Environment
from tasks.ports import ArtifactStore
from tasks.references import promoted_tag
from tasks.service import ServiceSpec
from tasks.sign import evidence
from tasks.sign.provenance import Making, provenance
from tasks.sign.rules import scan_statements
from tests.support.images import Content, debian, image_of

AGO = timedelta(hours=2)
TAG = "12"  # a number may move, in our stores, too


def base_image(store: ArtifactStore, words: str, tag: str = TAG) -> str:
    """Another image for other words, behind the tag. Its digest."""
    return image_of(
        store, Content({**debian("base-files base-files 12"), "etc/words": words}), "b", tag
    ).digest


def write_service(
    folder: Path, name: str, base: str, bake: Mapping[str, Any] | None = None, **production: Any
) -> Path:
    """A folder with a service that runs in memory and is replaced at once."""
    folder.mkdir(parents=True)
    (folder / "app").write_text(f"{name}\n")
    place = {
        "name": "production",
        "platform": "memory",
        "replicas": 1,
        "strategy": {"kind": "all-at-once"},
        "warm_seconds": 0,
        **production,
    }
    spec = {
        "service": name,
        "bake": bake or {"base": base, "files": {"app": "/app"}, "command": ["/app"]},
        "environments": [place],
    }
    with (folder / "service.yaml").open("w") as file:
        YAML().dump(spec, file)
    return folder


def vulnerability(package: str, severity: Severity = Severity.HIGH, fixed: str = "1.1") -> Finding:
    return Finding(
        FindingKind.VULNERABILITY, f"CVE-2026-{package}", severity, package, "1.0", fixed, ""
    )


def known_of(artifact: Artifact, *found: Finding) -> None:
    """What the scanner knows of it from now on."""
    now = datetime.now(UTC)
    report = ScanReport(artifact.digest, "memory", now, now, packages=1, findings=found)
    world_named(str(platforms.home())).scans[artifact.digest] = report


def stand(folder: Path, is_running: bool = True) -> Artifact:
    """Released from there two hours ago, with all evidence. Whoever rolls out next starts what does not run yet."""
    spec, folder = read_service(folder)
    baked = bake(spec, folder, platforms.store_for(spec), platforms.home() / "cache")
    _vouch(spec, folder, baked)
    _journal(spec, folder, baked)
    for place in spec.environments if is_running else ():
        with tenure(platforms.journal(), spec.service, place.name, "a test") as held:
            heal_environment(held)
    return baked.artifact


def _vouch(spec: ServiceSpec, folder: Path, baked: Baked) -> None:
    artifact, then = baked.artifact, datetime.now(UTC) - AGO
    scanned = MemoryScanner(world_named(str(platforms.home()))).scan(artifact, 1)
    clean = ScanReport(artifact.digest, "memory", then, then, packages=1)
    making = Making(then, then, "a test", baked.content_key, False, ())
    origin = provenance(spec, source_of(folder), baked.materials, making)
    evidence.sign(artifact)
    evidence.attest(artifact, [*scan_statements(replace(scanned, report=clean)), origin])
    store = platforms.store_for(spec)
    store.put_manifest(store.manifest(artifact.digest), promoted_tag(spec.service))


def _journal(spec: ServiceSpec, folder: Path, baked: Baked) -> None:
    journal, name, source = platforms.journal(), spec.service, source_of(folder)
    base = next(iter(baked.materials.bases), "")
    started = ReleaseStarted(
        source, spec, baked.artifact, False, folder=str(folder), bases=baked.bases
    )
    record(journal, name, "", "", BakedBody(source, baked.artifact, False, base))
    record(journal, name, "", "r1", started)
    for place in spec.environments:
        here, now = spec.place(place), datetime.now(UTC)
        begun = RolloutStarted(here, baked.artifact, place.replicas, "")
        record(journal, name, place.name, "r1", begun)
        deployed = Deployed("r1", baked.artifact, place.replicas, now)
        record(journal, name, place.name, "r1", Promoted(deployed, None))
    record(journal, name, "", "r1", ReleaseFinished("promoted"))


def base_of(artifact: Artifact) -> str:
    """The digest that its manifest says it stands on."""
    raw = platforms.store(artifact.repository).manifest(artifact.digest)
    return str(json.loads(raw)["annotations"]["org.opencontainers.image.base.digest"])


def released(name: str) -> Artifact:
    """What its users are meant to meet, as the journal has it."""
    stands = standing(fold(platforms.journal().events(name)), name)
    assert stands is not None
    return stands.artifact


def serving(name: str, place: str = "production") -> Artifact:
    """What its users meet, as the platform shows it."""
    status = world_named(str(platforms.home())).fleet.read(Environment(name, place, "memory"))
    (group,) = [one for one in status.groups if one.weight]
    return group.artifact
