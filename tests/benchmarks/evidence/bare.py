"""The other side: the same steps by bare trivy and cosign 3, a process for each, as a careful script would have them."""

import json
from functools import partial
from pathlib import Path
from typing import Final

from tasks.evidence import PREDICATES, KeyRole, Kind
from tasks.model import Artifact
from tasks.sign.provenance import provenance
from tests.benchmarks.evidence.ground import Ground
from tests.benchmarks.evidence.measuring import Laps, cost_of, run
from tests.support.baking import service
from tests.support.provenances import MAKING, MATERIALS, SOURCE

Command = list[str | Path]
OFFLINE: Final = ("--quiet", "--skip-db-update", "--skip-java-db-update", "--offline-scan")
ALONE: Final = (*OFFLINE, "--skip-version-check", "--disable-telemetry")
REMOTE: Final = ("--insecure", "--image-src", "remote")
WANTED: Final = ("--scanners", "vuln,secret,license", "--list-all-pkgs")
FORMS: Final = ("cyclonedx", "spdx-json")
SIGN: Final = ("--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry", "-y")
VERIFY: Final = ("--insecure-ignore-tlog=true", "--allow-http-registry")
FILES: Final = {
    Kind.PROVENANCE: ("provenance.json", KeyRole.BUILDER),
    Kind.SCAN: ("scan.json", KeyRole.SCANNER),
    Kind.CYCLONEDX: ("cyclonedx.json", KeyRole.SCANNER),
    Kind.SPDX: ("spdx-json.json", KeyRole.SCANNER),
}
BY_SCANS: Final = FORMS
BY_CONVERSION: Final = tuple(f"convert {form}" for form in FORMS)


def steps(ground: Ground, artifact: Artifact, work: Path) -> Laps:
    """Every step in its turn. The bills are made twice: by a scan each, and converted from the first scan's report."""
    work.mkdir()
    origin = provenance(service(), SOURCE, MATERIALS, MAKING).predicate
    (work / "provenance.json").write_text(json.dumps(origin))
    environment = {**ground.environment, "HOME": str(ground.bare)}
    commands = {**_scans(ground, artifact), **_signs(ground, artifact), **_checks(ground, artifact)}
    return {
        name: cost_of(partial(run, command, environment, work))
        for name, command in commands.items()
    }


def _scans(ground: Ground, artifact: Artifact) -> dict[str, Command]:
    cache: Command = ["--cache-dir", ground.bare / "trivy"]
    image: Command = [ground.trivy, "image", *ALONE, *REMOTE, *cache, artifact.reference]
    found: dict[str, Command] = {
        "scan": [*image, *WANTED, "--format", "json", "--output", "scan.json"]
    }
    for form in FORMS:
        found[form] = [*image, "--format", form, "--output", f"{form}.json"]
    for form in FORMS:
        to = ("--format", form, "--output", f"converted-{form}.json")
        found[f"convert {form}"] = [ground.trivy, "convert", "--quiet", *to, "scan.json"]
    return found


def _signs(ground: Ground, artifact: Artifact) -> dict[str, Command]:
    program, reference = ground.cosign, artifact.reference
    found: dict[str, Command] = {
        "sign": [program, "sign", "--key", ground.key(KeyRole.BUILDER), *SIGN, reference]
    }
    for kind, (file, role) in FILES.items():
        what = ("--type", PREDICATES[kind], "--predicate", file)
        key: Command = ["--key", ground.key(role)]
        found[f"attest {kind.value}"] = [program, "attest", *key, *SIGN, *what, reference]
    return found


def _checks(ground: Ground, artifact: Artifact) -> dict[str, Command]:
    program, reference = ground.cosign, artifact.reference
    key: Command = ["--key", ground.key(KeyRole.BUILDER, "pub")]
    found: dict[str, Command] = {"verify signature": [program, "verify", *key, *VERIFY, reference]}
    for kind, (_, role) in FILES.items():
        by: Command = ["--key", ground.key(role, "pub"), "--type", PREDICATES[kind]]
        found[f"verify {kind.value}"] = [program, "verify-attestation", *by, *VERIFY, reference]
    return found
