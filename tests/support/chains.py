"""A chain in which nothing is wrong, and findings to spoil it with."""

from dataclasses import replace
from datetime import timedelta

from flows.chain import Chain, Place
from tasks.evidence import (
    Checked,
    Finding,
    FindingKind,
    Kind,
    Package,
    Proof,
    Provenance,
    ScanReport,
    Severity,
)
from tasks.model import Artifact
from tests.support.provenances import AT, COMMIT, GIVEN, TESTED

ARTIFACT = Artifact("hello", "sha256:" + "a" * 64, "registry.example/hello")
BASE = "registry.example/python@sha256:" + "b" * 64
ORIGIN = Provenance(
    "https://git.example/team/hello.git",
    COMMIT,
    False,
    "https://bakewell.dev/builder/v1",
    ("sha256:" + "b" * 64,),
    (BASE,),
    ("pkg:pypi/itsdangerous@2.2.0",),
    2,
    AT,
    AT + timedelta(seconds=4),
    "run-1",
    (("bakewell", "0.2.0"),),
)
SCAN = ScanReport(ARTIFACT.digest, "trivy 0.76.0", AT, AT - timedelta(hours=3), 2)
PACKAGES = (
    Package("itsdangerous", "2.2.0", "pkg:pypi/itsdangerous@2.2.0", ("BSD-3-Clause",)),
    Package("libssl3", "3.0", "pkg:deb/debian/libssl3@3.0?arch=amd64"),
)
CHAIN = Chain(
    ARTIFACT,
    (ORIGIN,),
    ORIGIN.bases[0],
    PACKAGES,
    SCAN,
    tuple(
        Checked(f"signature, {one}", Proof.VALID, "made by our builder")
        for one in (".sig tag", "bundle")
    ),
    tuple(Checked(kind.value, Proof.VALID, "made by ours") for kind in Kind if kind != "signature"),
    (TESTED,),
    (GIVEN,),
    places=(Place("hello", "staging", "process", "r3", "stable", 2, 100, 2),),
)


def vulnerability(
    number: int, severity: Severity, package: str = "leaky", fixed: str = "2.0"
) -> Finding:
    return Finding(
        FindingKind.VULNERABILITY, f"CVE-2099-{number:04}", severity, package, "1.0", fixed, "bad"
    )


SECRET = Finding(
    FindingKind.SECRET, "github-pat", Severity.CRITICAL, "/app/settings", "", "", "GitHub token"
)
LICENCE = Finding(FindingKind.LICENCE, "MIT", Severity.LOW, "leaky", "1.0", "", "notice")


def scanned(*findings: Finding, chain: Chain = CHAIN) -> Chain:
    return replace(chain, scan=replace(SCAN, findings=findings))
