"""A policy: what must be proved, and what may be known to be wrong, before an artifact runs. Data; pure, validated.

One file each in `deployments/policies/` (or $BAKEWELL_POLICIES); `policy:` in service.yaml names it, for all environments
or for one. Descriptions are shown by editors (deployments/policies/policy.schema.json) and in messages about mistakes.
Whoever owns the policies decides; whoever owns a service only names one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, field_validator

from tasks.evidence import Severity
from tasks.lanes import Barrier
from tasks.settings import Contradiction, Name, Part
from tasks.windows import Freeze

DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
Glob = Annotated[str, Field(min_length=1, description="a name; * stands for anything")]


class Answer(StrEnum):
    """What to do with what was found."""

    REFUSE = "refuse"
    ALLOW = "allow"


class WithoutDatabase(StrEnum):
    """What to do when no vulnerability database can be had."""

    REFUSE = "refuse"
    RUN = "run-without-knowing-its-vulnerabilities"


class Fix(StrEnum):
    """Is there a version in which it is mended?"""

    AVAILABLE = "available"
    NONE = "none"
    ANY = "any"


class VulnerabilityRule(Part):
    """Which vulnerabilities may not run."""

    severities: tuple[Severity, ...] = Field(
        (Severity.CRITICAL, Severity.HIGH), min_length=1, description="as the scanner rates them"
    )
    fix: Fix = Field(Fix.AVAILABLE, description="only those with a fix, only those without, or any")
    public_for_days: float = Field(
        0,
        ge=0,
        description="only those public for so long: time to rebuild with the fix. The database does not tell when a fix"
        " came out; unknown counts as long",
    )


class Licences(Part):
    """Which licences packages may have, as SPDX names."""

    refuse: tuple[Glob, ...] = Field((), description="such as AGPL-3.0-only or GPL-*")
    unknown: Answer = Field(
        Answer.ALLOW, description="packages whose licence the scanner could not tell"
    )


class DatabaseRule(Part):
    """The vulnerability database that a scan has used."""

    max_age_hours: float = Field(48, gt=0, description="an older one counts as none")
    missing: WithoutDatabase = Field(
        WithoutDatabase.REFUSE, description="what to do when none can be had"
    )


class BaseRule(Part):
    """What an artifact may be built on."""

    min_age_hours: float = Field(
        0,
        ge=0,
        description="a base digest must have been known here for so long: what is poisoned is often found in days",
    )
    trusted: tuple[str, ...] = Field((), description="base digests that need not wait")

    @field_validator("trusted")
    @classmethod
    def _digests(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [one for one in value if not DIGEST.fullmatch(one)]:
            raise ValueError(f"found {wrong[0]!r}; allowed: sha256: and 64 hex digits")
        return value


class SourceRule(Part):
    """Where an artifact may come from, as its provenance says."""

    repositories: tuple[Glob, ...] = Field(
        (), description="addresses of Git repositories, * stands for anything; none: any"
    )
    dirty: Answer = Field(
        Answer.ALLOW, description="trees that differ from their commit, or have none"
    )


class RequiredKind(StrEnum):
    """What can be demanded beside the signature, which always is."""

    PROVENANCE = "provenance"
    CYCLONEDX = "cyclonedx"
    SPDX = "spdx"
    SCAN = "scan"


class RebuildRule(Part):
    """When the weekly rebuild takes a service up, and how its patches are rolled out."""

    max_age_days: float | None = Field(
        None, gt=0, description="what was baked longer ago is rebuilt though nothing moved"
    )
    fixes: tuple[Severity, ...] = Field(
        (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM),
        description="a fix for these is reason enough, where building anew can bring it",
    )
    soak_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="of `observe.minimum_seconds`: a patch that nobody wrote may need less; what must be seen stays",
    )
    batch: int = Field(
        0,
        ge=0,
        le=1000,
        description="services of a lower batch are rebuilt first, all of them: the risky ones last",
    )


class WaiverStatus(StrEnum):
    """As OpenVEX says it: it does us no harm; or it does, and somebody takes the risk for a while."""

    NOT_AFFECTED = "not_affected"
    ACCEPTED = "accepted"


class Justification(StrEnum):
    """OpenVEX's reasons for `not_affected` (OpenVEX specification 0.2.0, status justifications)."""

    COMPONENT_NOT_PRESENT = "component_not_present"
    CODE_NOT_PRESENT = "vulnerable_code_not_present"
    NOT_IN_EXECUTE_PATH = "vulnerable_code_not_in_execute_path"
    NOT_CONTROLLABLE = "vulnerable_code_cannot_be_controlled_by_adversary"
    MITIGATED = "inline_mitigations_already_exist"


class Waiver(Part):
    """One finding that may run all the same, until a day, because somebody says so. All of `packages` empty: any."""

    id: str = Field(
        min_length=1, description="of the vulnerability, secret rule, or a licence's SPDX name"
    )
    packages: tuple[Glob, ...] = Field((), description="names or purls it is about; none: any")
    services: tuple[Glob, ...] = Field((), description="services it is for; none: any")
    owner: str = Field(min_length=3, description="who answers for it: a name or address")
    reason: str = Field(min_length=10, description="why it does no harm, or is worth the risk")
    expires: date = Field(description="the last day on which it counts (UTC)")
    status: WaiverStatus = Field(
        WaiverStatus.ACCEPTED, description="not_affected needs a justification"
    )
    justification: Justification | None = Field(None, description="OpenVEX's words for why")

    def _contradictions(self) -> Iterator[Contradiction]:
        if (self.status is WaiverStatus.NOT_AFFECTED) != (self.justification is not None):
            yield (
                ("justification",),
                "belongs to status not_affected, and is needed there; accepted is a risk taken: its reason says why",
            )


class VexFile(Part):
    """An OpenVEX document of somebody else's whose `not_affected` and `fixed` statements count as waivers."""

    file: str = Field(min_length=1, description="beside the policy")
    owner: str = Field(min_length=3, description="who here answers for believing it")
    expires: date = Field(description="the last day on which it counts (UTC)")


class Policy(Part):
    """The whole of one policy file. What is not said has the strict default."""

    description: str = Field("", description="for people")
    vulnerabilities: tuple[VulnerabilityRule, ...] = Field(
        (VulnerabilityRule(),), description="what one of these rules names may not run"
    )
    secrets: Answer = Field(Answer.REFUSE, description="in files and in the environment")
    licences: Licences = Field(Licences(), description="which licences packages may have")
    unrecognised: Answer = Field(
        Answer.REFUSE,
        description="content in which the scanner recognised no package at all: nothing found is then not nothing wrong",
    )
    database: DatabaseRule = Field(DatabaseRule(), description="of known vulnerabilities")
    max_scan_age_hours: float = Field(
        24, gt=0, description="what was scanned longer ago is scanned again before it starts"
    )
    base: BaseRule = Field(BaseRule(), description="what it may be built on")
    source: SourceRule = Field(SourceRule(), description="where it may come from")
    attestations: tuple[RequiredKind, ...] = Field(
        tuple(RequiredKind), description="statements that must lie beside it, each by the right key"
    )
    tested_in: tuple[Name, ...] = Field(
        (), description="environments in which it must have passed its smoke test before"
    )
    promoted_in: tuple[Name, ...] = Field(
        (), description="environments in which it must have been promoted before"
    )
    bypass: tuple[Barrier, ...] = Field(
        tuple(one for one in Barrier if one is not Barrier.APPROVAL),
        description="what a hotfix, or `--bypass`, may go past; each time is a debt. Evidence is never among them",
    )
    freezes: tuple[Freeze, ...] = Field(
        (),
        description="days on which no release enters any environment under this policy; it waits",
    )
    rebuild: RebuildRule = Field(RebuildRule(), description="of the weekly rebuild")
    waivers: tuple[Waiver, ...] = Field((), description="findings that may run all the same")
    vex: tuple[VexFile, ...] = Field((), description="OpenVEX documents that count as waivers")

    def _contradictions(self) -> Iterator[Contradiction]:
        if RequiredKind.SCAN not in self.attestations:
            yield (
                ("attestations",),
                "scan must be among them: what nobody looked at is not known to be fine",
            )


@dataclass(frozen=True)
class PolicyInForce:
    """A policy as it was read now. `fingerprint` is the digest of all it says, waivers and what it believes of others'
    OpenVEX documents included: another fingerprint may mean another ruling."""

    name: str
    policy: Policy
    fingerprint: str
