"""Invariant 2 as a pure rule: everything known of an artifact and a policy in, a ruling with all its grounds out."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final

from tasks.admit.findings import WORST_FIRST, weigh
from tasks.admit.scans import may_run_unscanned, unrecognised, unscanned
from tasks.evidence import (
    Checked,
    Finding,
    FindingKind,
    Ground,
    Proof,
    Provenance,
    Ruling,
    ScanNotDone,
    ScanReport,
)
from tasks.model import Admission
from tasks.policy import Answer, Policy, RequiredKind, SourceRule, WithoutDatabase

SHOWN: Final = 3
NOT_SCANNED_COUNTS: Final = timedelta(minutes=10)  # by then a database may be there


@dataclass(frozen=True)
class Facts:
    """What is known of an artifact at one moment. What could not be read is missing, and missing evidence refuses.

    `evidence`: what is worth what, of every kind that can be demanded. `bases_known_since`: when a base digest was first
    seen here. `quarantined`: why it may not run anywhere, one ground each; also that this could not be told. `not_gathered`:
    what went wrong while the facts were gathered, beyond what is missing for it.
    """

    service: str
    signatures: tuple[Checked, ...]
    evidence: Mapping[RequiredKind, Checked]
    scan: ScanReport | ScanNotDone | None
    provenances: tuple[Provenance, ...] = ()
    tested_in: frozenset[str] = frozenset()
    promoted_in: frozenset[str] = frozenset()
    bases_known_since: Mapping[str, datetime] = field(default_factory=dict)
    quarantined: tuple[Ground, ...] = ()
    not_gathered: tuple[Ground, ...] = ()


Demand = Callable[[Facts, Policy, datetime], Iterator[Ground]]


def judge_admission(facts: Facts, policy: Policy, now: datetime) -> Ruling:
    """ADMIT, or REFUSE with every reason there is: who mends one should not find the next only then."""
    refused = [ground for demand in DEMANDS for ground in demand(facts, policy, now)]
    weighed = weigh(_findings(facts.scan), policy, facts.service, now)
    refused += weighed.refused
    if refused:
        return Ruling(Admission.REFUSE, _summary(refused), tuple(refused))
    return Ruling(
        Admission.ADMIT, _admitted(facts, policy, len(weighed.waived), now), weighed.waived
    )


def judge_scan(
    report: ScanReport | ScanNotDone, policy: Policy, service: str, now: datetime
) -> Ruling:
    """The same of a scan alone: before an artifact is signed there is nothing else to judge."""
    alone = Facts(service, (), {}, report)
    refused = [*_is_scanned(alone, policy, now), *_is_recognised(alone, policy, now)]
    weighed = weigh(_findings(report), policy, service, now)
    refused += weighed.refused
    if refused:
        return Ruling(Admission.REFUSE, _summary(refused), tuple(refused))
    return Ruling(Admission.ADMIT, _scan_words(alone, policy, now), weighed.waived)


# ---- one demand each -----------------------------------------------------------------------------


def _is_free(facts: Facts, policy: Policy, now: datetime) -> Iterator[Ground]:
    yield from facts.quarantined


def _is_signed(facts: Facts, policy: Policy, now: datetime) -> Iterator[Ground]:
    """A format that was not used is fine beside one that holds; one that was altered, moved or made by another key is
    not: somebody has been at it."""
    false = [one for one in facts.signatures if one.proof not in (Proof.VALID, Proof.MISSING)]
    for one in false:
        yield Ground("signature", one.name, f"its {one.name} is {one.proof.value}: {one.found}")
    if not false and not any(one.proof is Proof.VALID for one in facts.signatures):
        why = "it is not signed; release it with `bakewell release`, which signs what it bakes"
        yield Ground("signature", "", why)


def _is_attested(facts: Facts, policy: Policy, now: datetime) -> Iterator[Ground]:
    for kind in policy.attestations:
        found = facts.evidence.get(kind, Checked(kind.value, Proof.MISSING, "there is none"))
        if kind is RequiredKind.SCAN or found.proof is Proof.VALID:
            continue  # of the scan itself _is_scanned tells more
        why = f"its {kind.value} is {found.proof.value}: {found.found}"
        yield Ground("attestations", kind.value, f"{why}; `bakewell release` attests what it bakes")


def _comes_from(facts: Facts, policy: Policy, now: datetime) -> Iterator[Ground]:
    """One provenance that meets every demand is enough: the same bytes may have been built twice."""
    if not facts.provenances and _minds(policy.source):
        yield Ground("source", "", "nobody vouches for where it comes from: it has no provenance")
    problems = [_unwanted(one, policy.source) for one in facts.provenances]
    wrong = [one for one in problems if one is not None]
    if wrong and len(wrong) == len(problems):
        yield wrong[0]


def _minds(rule: SourceRule) -> bool:
    return bool(rule.repositories) or rule.dirty is Answer.REFUSE


def _unwanted(one: Provenance, rule: SourceRule) -> Ground | None:
    if rule.repositories and not any(
        fnmatchcase(one.repository, glob) for glob in rule.repositories
    ):
        wanted = ", ".join(rule.repositories)
        why = f"it comes from {one.repository or 'nowhere'}; allowed: {wanted}"
        return Ground("source.repositories", one.repository, why)
    if rule.dirty is Answer.REFUSE and (one.dirty or not one.commit):
        what = f"differs from its commit {one.commit[:12]}" if one.commit else "has no commit"
        return Ground("source.dirty", one.repository, f"its source {what}; commit, then release")
    return None


def _base_is_known(facts: Facts, policy: Policy, now: datetime) -> Iterator[Ground]:
    wait = timedelta(hours=policy.base.min_age_hours)
    bases = dict.fromkeys(base for one in facts.provenances for base in one.bases)
    if not wait:
        return
    if not facts.provenances:
        why = "nobody vouches for what it stands on: it has no provenance"
        yield Ground("base.min_age_hours", "", why)
    for base in bases:
        since = facts.bases_known_since.get(base)
        if base in policy.base.trusted or (since is not None and now - since >= wait):
            continue
        until = (
            f"it may run from {since + wait:%Y-%m-%d %H:%M} UTC on" if since else "it is new here"
        )
        why = f"its base {base} must have been known for {policy.base.min_age_hours:g} h; {until}"
        yield Ground("base.min_age_hours", base, f"{why}, or when base.trusted names it")


def _is_scanned(facts: Facts, policy: Policy, now: datetime) -> Iterator[Ground]:
    why = unscanned(facts.scan, policy, now)
    if why is None or may_run_unscanned(why, policy):
        return
    if why.demand == "database.missing":
        said = (
            f"the scan was not done: {why.why}; not scanned is not clean. Remove the cause and try again"
            f" (a policy with `missing: {WithoutDatabase.RUN.value}` would run it all the same)"
        )
        yield Ground(why.demand, why.subject, said)
    else:
        yield why


def _is_recognised(facts: Facts, policy: Policy, now: datetime) -> Iterator[Ground]:
    if ground := unrecognised(facts.scan, policy):
        yield ground


def _is_gathered(facts: Facts, policy: Policy, now: datetime) -> Iterator[Ground]:
    yield from facts.not_gathered


def _was_tried(facts: Facts, policy: Policy, now: datetime) -> Iterator[Ground]:
    for place in policy.tested_in:
        if place not in facts.tested_in:
            why = f"nobody vouches that its smoke test passed in {place}; release it there first"
            yield Ground("tested_in", place, why)
    for place in policy.promoted_in:
        if place not in facts.promoted_in:
            why = f"nobody vouches that it was promoted in {place}; release it there first"
            yield Ground("promoted_in", place, why)


DEMANDS: Final[tuple[Demand, ...]] = (
    _is_free,
    _is_signed,
    _is_attested,
    _comes_from,
    _base_is_known,
    _is_scanned,
    _is_recognised,
    _was_tried,
    _is_gathered,
)


# ---- in words ------------------------------------------------------------------------------------


def _findings(scan: ScanReport | ScanNotDone | None) -> Sequence[Finding]:
    """What is known to be wrong is wrong, however old the database that knew it."""
    if scan is None:
        return ()
    return (*scan.secrets, *scan.known) if isinstance(scan, ScanNotDone) else scan.findings


def _summary(refused: Sequence[Ground]) -> str:
    """The first few reasons as a sentence; all of them are the ruling's grounds."""
    shown = "; ".join(one.why for one in refused[:SHOWN])
    more = f"; and {len(refused) - SHOWN} more reasons" if len(refused) > SHOWN else ""
    return f"{shown}{more}"


def _admitted(facts: Facts, policy: Policy, waived: int, now: datetime) -> str:
    known = f", {waived} finding{'s' if waived > 1 else ''} waived" if waived else ""
    return f"signed by our builder; {_scan_words(facts, policy, now)}{known}"


def _scan_words(facts: Facts, policy: Policy, now: datetime) -> str:
    scan, why = facts.scan, unscanned(facts.scan, policy, now)
    if why is not None or not isinstance(scan, ScanReport):
        return (
            f"NOT SCANNED ({why.why if why else 'no report'}); it runs WITHOUT ANYBODY KNOWING ITS VULNERABILITIES,"
            f" because its policy says {WithoutDatabase.RUN.value}"
        )
    if not scan.packages:
        return "nothing known is wrong, but the scanner recognised no package: that says little"
    counted = _counted(scan.findings)
    packages = "1 package" if scan.packages == 1 else f"{scan.packages} packages"
    return f"{packages} recognised, {counted}, nothing that the policy refuses"


def _counted(findings: Sequence[Finding]) -> str:
    found = Counter(one.severity for one in findings if one.kind is FindingKind.VULNERABILITY)
    parts = [f"{found[severity]} {severity.value}" for severity in WORST_FIRST if found[severity]]
    return ", ".join(parts) or "no known vulnerability"


def good_until(facts: Facts, policy: Policy, now: datetime) -> datetime:
    """Until when an admission need not be thought over: the end of its day (UTC), or when its scan grows too old."""
    end = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    if not isinstance(facts.scan, ScanReport):
        return min(end, now + NOT_SCANNED_COUNTS)
    scan_ends = facts.scan.scanned_at + timedelta(hours=policy.max_scan_age_hours)
    database_ends = facts.scan.database_updated_at + timedelta(hours=policy.database.max_age_hours)
    return max(now, min(end, scan_ends, database_ends))
