"""May an artifact run, given what a scanner found in it? Pure: a report, a policy and the time in, a decision out."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from tasks.evidence import Finding, FindingKind, ScanNotDone, ScanReport, Severity
from tasks.model import Admission, Decision
from tasks.service import ScanPolicy, WithoutDatabase

WORST_FIRST: Final = tuple(reversed(Severity))
SHOWN: Final = 3
SKEW_HOURS: Final = 1.0  # by how much the clock of the database's maker may be ahead of ours


def judge_scan(
    report: ScanReport | ScanNotDone, policy: ScanPolicy, now: datetime
) -> Decision[Admission]:
    """ADMIT or REFUSE, with the findings that decided and what to do about them.

    A scan that was not done, and one with a database that is too old, is never a clean one.
    """
    if isinstance(report, ScanNotDone):
        return _without_database(report, policy)
    counted = _counted(report.findings)
    if reason := _bad(report.findings, policy):
        return _refuse(f"{reason}; found in all: {counted}")
    if not is_fresh(report, policy, now):
        return _with_an_old_database(report, policy, now)
    if not report.packages:
        return Decision(
            Admission.ADMIT,
            "nothing known is wrong, but the scanner recognised no package: that says little",
        )
    return Decision(
        Admission.ADMIT,
        f"{report.packages} packages recognised, {counted}, nothing that the policy refuses",
    )


def is_fresh(report: ScanReport, policy: ScanPolicy, now: datetime) -> bool:
    """Was its database young enough for the policy, as of now? An old report has an old database.

    One from the future is not: by its own words it would never grow old.
    """
    return -SKEW_HOURS <= _age_hours(report, now) <= policy.max_database_age_hours


def without_bill(
    report: ScanReport | ScanNotDone, policy: ScanPolicy, reason: str, now: datetime
) -> ScanReport | ScanNotDone:
    """What a scan is worth when what is inside could not be listed: not done, but what it found wrong stays found."""
    if isinstance(report, ScanNotDone) or _bad(report.findings, policy):
        return report
    secrets = tuple(one for one in report.findings if one.kind is FindingKind.SECRET)
    return ScanNotDone(report.digest, reason, now, report.packages, secrets)


def _age_hours(report: ScanReport, now: datetime) -> float:
    return (now - report.database_updated_at).total_seconds() / 3600


def _with_an_old_database(
    report: ScanReport, policy: ScanPolicy, now: datetime
) -> Decision[Admission]:
    """It counts as none. What it knew to be wrong was refused before."""
    age = _age_hours(report, now)
    told = f"is {age:.0f} h old" if age > 0 else f"says it is made in {-age:.0f} h from now"
    reason = f"the vulnerability database {told}, {policy.max_database_age_hours:g} h are allowed"
    if policy.without_database is WithoutDatabase.RUN:
        return _unscanned(reason)
    return _refuse(
        f"{reason} (scan.max_database_age_hours); let this machine reach a mirror of it, set its clock right,"
        " and try again"
    )


def _without_database(report: ScanNotDone, policy: ScanPolicy) -> Decision[Admission]:
    if policy.fail_on_secrets and report.secrets:
        return _refuse(_secrets(report.secrets))
    if policy.without_database is WithoutDatabase.RUN:
        return _unscanned(report.reason)
    return _refuse(
        f"the scan was not done: {report.reason}; not scanned is not clean. Remove the cause and try again"
        f" (scan.without_database: {WithoutDatabase.RUN.value} would run it all the same)"
    )


def _unscanned(why: str) -> Decision[Admission]:
    return Decision(
        Admission.ADMIT,
        f"NOT SCANNED ({why}); it runs WITHOUT ANYBODY KNOWING ITS VULNERABILITIES, because its"
        f" service.yaml says {WithoutDatabase.RUN.value}",
    )


def _bad(findings: Sequence[Finding], policy: ScanPolicy) -> str:
    """What the policy refuses, in words; empty if nothing."""
    secrets = [one for one in findings if one.kind is FindingKind.SECRET]
    if policy.fail_on_secrets and secrets:
        return _secrets(secrets)
    wrong = [
        one
        for one in findings
        if one.kind is FindingKind.VULNERABILITY
        and one.severity in policy.fail_on
        and (one.fixed_version or policy.fail_on_unfixed)
    ]
    if not wrong:
        return ""
    worst = sorted(wrong, key=lambda one: (WORST_FIRST.index(one.severity), one.id, one.package))
    shown = "; ".join(map(_told, worst[:SHOWN]))
    more = f"; and {len(worst) - SHOWN} more" if len(worst) > SHOWN else ""
    return f"{len(worst)} vulnerabilities that the policy refuses: {shown}{more}"


def _told(one: Finding) -> str:
    fix = f"update to {one.fixed_version}" if one.fixed_version else "no fix exists yet"
    return f"{one.id} ({one.severity.value}) in {one.package} {one.installed_version}: {fix}"


def _secrets(found: Sequence[Finding]) -> str:
    places = ", ".join(f"{one.title} in {one.package}" for one in found[:SHOWN])
    return f"it contains secrets ({len(found)}): {places}; take them out, and replace them: they are known now"


def _counted(findings: Sequence[Finding]) -> str:
    found = Counter(one.severity for one in findings if one.kind is FindingKind.VULNERABILITY)
    parts = [f"{found[severity]} {severity.value}" for severity in WORST_FIRST if found[severity]]
    return ", ".join(parts) or "no known vulnerability"


def _refuse(reason: str) -> Decision[Admission]:
    return Decision(Admission.REFUSE, reason)
