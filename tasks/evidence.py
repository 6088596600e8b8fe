"""The nouns of evidence: who vouches, what is said about a digest, what it is worth. Frozen values, nothing else.

One key per role, and each kind of statement belongs to one role: what the wrong role has signed proves nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import JsonValue

from tasks.model import Admission, Artifact, Source, Verdict

# ---- what was found in an artifact ---------------------------------------------------------------


class Severity(StrEnum):
    UNKNOWN = "UNKNOWN"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


class FindingKind(StrEnum):
    VULNERABILITY = "vulnerability"
    SECRET = "secret"
    LICENCE = "licence"


@dataclass(frozen=True)
class Finding:
    """One thing the scanner knows of an artifact. `fixed_version` is empty where no fix exists.

    Of a licence `id` is its SPDX name (as well as the scanner could tell), `package` what has it. `published_at` is when a
    vulnerability became public: no fix can be expected before; None where nobody knows. `purl` names the package for
    others (https://github.com/package-url/purl-spec), empty where there is none.
    """

    kind: FindingKind
    id: str
    severity: Severity
    package: str
    installed_version: str
    fixed_version: str
    title: str
    published_at: datetime | None = None
    purl: str = ""


@dataclass(frozen=True)
class ScanReport:
    """A scan that was done. `packages` counts what was recognised: 0 means the scanner understood nothing.

    `of_bill`: the stored bill of materials was looked at with a newer database, not the artifact itself; what only the
    artifact can tell (secrets) is then as it was found before.
    """

    digest: str
    scanner: str
    scanned_at: datetime
    database_updated_at: datetime
    packages: int
    findings: tuple[Finding, ...] = ()
    of_bill: bool = False


@dataclass(frozen=True)
class ScanNotDone:
    """There is no scan result, and why. Never the same as a clean one.

    `packages` and `secrets` hold what could be told without a vulnerability database; `known` what an earlier scan of the
    same digest had found: that stays found.
    """

    digest: str
    reason: str
    at: datetime
    packages: int = 0
    secrets: tuple[Finding, ...] = ()
    known: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Scanned:
    """What one look at an artifact told: what is wrong with it, and what is inside.

    The bills are JSON; empty where none could be made, and `without_bills` says why: what was found stays found, and a
    policy that asks for bills refuses.
    """

    report: ScanReport | ScanNotDone
    cyclonedx: bytes = b""
    spdx: bytes = b""
    without_bills: str = ""


@dataclass(frozen=True, order=True)
class Package:
    """One thing that a bill of materials lists. `purl` is empty where the bill has none."""

    name: str
    version: str
    purl: str = ""
    licences: tuple[str, ...] = ()


# ---- where it comes from -------------------------------------------------------------------------


@dataclass(frozen=True)
class Provenance:
    """Where an artifact comes from, as its builder says (SLSA provenance v1): ours, or another one's.

    `commit` is empty outside Git. `dirty`: the tree differed from the commit, or there was none. `bases`: digests of the
    images it was built on, `base_names` what they were called. `packages`: purls of what was locked into it. `files`
    counts what was baked. Times are None where the builder did not say. `builder` and `invocation` are the builder's own
    names for itself and for the run.
    """

    repository: str
    commit: str
    dirty: bool
    builder: str
    bases: tuple[str, ...] = ()
    base_names: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    files: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    invocation: str = ""
    versions: tuple[tuple[str, str], ...] = ()

    @property
    def source(self) -> Source:
        return Source(self.repository, self.commit, self.dirty)


# ---- what was tried with it ----------------------------------------------------------------------


class SmokeResult(StrEnum):
    """As in-toto's test-result predicate spells them."""

    PASSED = "PASSED"
    WARNED = "WARNED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class SmokeTested:
    """What its smoke test in one environment told. `line` is the hash of the journal's line, empty where others tested."""

    environment: str
    result: SmokeResult
    at: datetime
    path: str
    reason: str = ""
    release: str = ""
    line: str = ""


@dataclass(frozen=True)
class RolloutVerdict:
    """What came of one rollout. `numbers` is what the judge based it on, `line` the hash of the journal's line that ended it."""

    environment: str
    platform: str
    verdict: Verdict
    reason: str
    release: str
    started_at: datetime
    at: datetime
    numbers: Mapping[str, JsonValue] = field(default_factory=dict)
    line: str = ""


# ---- who says what -------------------------------------------------------------------------------


class KeyRole(StrEnum):
    """Who signs. A signature of the wrong role does not count."""

    BUILDER = "builder"
    SCANNER = "scanner"
    RELEASER = "releaser"


class Kind(StrEnum):
    """What can be said about a digest."""

    SIGNATURE = "signature"
    PROVENANCE = "provenance"
    CYCLONEDX = "cyclonedx"
    SPDX = "spdx"
    SCAN = "scan"
    SMOKE_TEST = "smoke-test"
    VERDICT = "verdict"


PREDICATES: Final[Mapping[Kind, str]] = {
    Kind.SIGNATURE: "https://sigstore.dev/cosign/sign/v1",
    Kind.PROVENANCE: "https://slsa.dev/provenance/v1",
    Kind.CYCLONEDX: "https://cyclonedx.org/bom",
    Kind.SPDX: "https://spdx.dev/Document",
    Kind.SCAN: "https://cosign.sigstore.dev/attestation/vuln/v1",
    Kind.SMOKE_TEST: "https://in-toto.io/attestation/test-result/v0.1",
    Kind.VERDICT: "https://bakewell.dev/verdict/v1",
}
"""Each kind's predicate type: what others know it by."""

ROLES: Final[Mapping[Kind, KeyRole]] = {
    Kind.SIGNATURE: KeyRole.BUILDER,
    Kind.PROVENANCE: KeyRole.BUILDER,
    Kind.CYCLONEDX: KeyRole.SCANNER,
    Kind.SPDX: KeyRole.SCANNER,
    Kind.SCAN: KeyRole.SCANNER,
    Kind.SMOKE_TEST: KeyRole.RELEASER,
    Kind.VERDICT: KeyRole.RELEASER,
}
"""Who alone may say it."""


@dataclass(frozen=True)
class Statement:
    """One thing to say about an artifact: its kind decides the predicate type and the role that must sign it."""

    kind: Kind
    predicate: Mapping[str, Any]

    @property
    def predicate_type(self) -> str:
        return PREDICATES[self.kind]

    @property
    def role(self) -> KeyRole:
        return ROLES[self.kind]


class Proof(StrEnum):
    """What a signature or an attestation is worth. Anything but VALID proves nothing, each for another reason."""

    VALID = "valid"
    MISSING = "missing"
    WRONG_KEY = "wrong key"
    WRONG_ROLE = "wrong role"
    KEY_NOT_VALID = "key not valid today"
    ALTERED = "altered"
    MOVED = "moved"
    INCOMPLETE = "incomplete"
    TOO_LARGE = "too large"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Checked:
    """One kind of evidence that was looked for: what it is, what it is worth, and what was found, in a sentence."""

    name: str
    proof: Proof
    found: str


@dataclass(frozen=True)
class Attested:
    """One statement that was found beside an artifact, and what it is worth.

    `kind` is None for predicate types we do not use (others' may lie beside ours), `predicate` empty unless it is VALID.
    `digest` is that of the manifest that holds it, `key` the name of the key that made it (empty where none fits).
    """

    kind: Kind | None
    predicate_type: str
    proof: Proof
    found: str
    digest: str
    key: str = ""
    predicate: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dossier:
    """All the evidence that lies beside one artifact, each piece verified.

    `signatures`: one entry for each format (`.sig` tag, bundle). `pieces` are the digests of every manifest and blob that
    was read to say so, sorted: the same pieces still there mean the same dossier.
    """

    artifact: Artifact
    signatures: tuple[Checked, ...]
    attested: tuple[Attested, ...]
    pieces: tuple[str, ...] = ()

    def valid(self, kind: Kind) -> tuple[Mapping[str, Any], ...]:
        """Predicates of that kind that the right role vouches for, in no order."""
        return tuple(
            one.predicate for one in self.attested if one.kind is kind and one.proof is Proof.VALID
        )

    def of(self, kind: Kind) -> tuple[Attested, ...]:
        """Everything found of that kind, whatever it is worth."""
        return tuple(one for one in self.attested if one.kind is kind)


# ---- what follows --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ground:
    """One thing that decided a ruling: which demand of the policy (`secrets`, `vulnerabilities[0]`), of what, and why."""

    demand: str
    subject: str
    why: str


@dataclass(frozen=True)
class Ruling:
    """May an artifact run: the answer, a sentence for whoever reads the run, and everything that decided it.

    `grounds` of a refusal are its reasons, all of them; of an admission what was accepted knowingly (waivers, warnings).
    """

    answer: Admission
    reason: str
    grounds: tuple[Ground, ...] = ()


class QuarantineKind(StrEnum):
    """By what a quarantine finds its artifacts."""

    ARTIFACT = "artifact"
    BASE = "base"
    PACKAGE = "package"


@dataclass(frozen=True)
class Quarantine:
    """A digest, everything built from a base, or everything that contains a package: may not run anywhere.

    `what`: a digest (artifact, base), or `name@version` (package; `name@*` is every version). `until` None: until lifted.
    `layers` of a base: the diff ids of its image (of each platform's), lowest first, as they were read when it was
    quarantined; what begins with them stands on it, whatever it says of itself. Empty: they could not be read.
    """

    kind: QuarantineKind
    what: str
    reason: str
    by: str
    since: datetime
    until: datetime | None = None
    layers: tuple[tuple[str, ...], ...] = ()

    def in_force(self, now: datetime) -> bool:
        return self.until is None or now < self.until
