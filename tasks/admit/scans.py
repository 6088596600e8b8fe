"""Is what is known of an artifact's inside enough to judge it: was it scanned, lately, by a young database? Pure."""

from datetime import datetime
from typing import Final

from tasks.evidence import Ground, ScanNotDone, ScanReport
from tasks.policy import Answer, Policy, WithoutDatabase

SKEW_HOURS: Final = 1.0  # by how much another machine's clock may be ahead of ours


def has_fresh_database(report: ScanReport, policy: Policy, now: datetime) -> bool:
    """Was its database young enough for the policy, as of now? One from the future is not: it would never grow old."""
    hours = _hours(report.database_updated_at, now)
    return -SKEW_HOURS <= hours <= policy.database.max_age_hours


def is_fresh(report: ScanReport, policy: Policy, now: datetime) -> bool:
    """Need it not be scanned again before it starts? Neither scan nor database are too old for the policy."""
    hours = _hours(report.scanned_at, now)
    young = -SKEW_HOURS <= hours <= policy.max_scan_age_hours
    return young and has_fresh_database(report, policy, now)


def unscanned(
    report: ScanReport | ScanNotDone | None, policy: Policy, now: datetime
) -> Ground | None:
    """Why nobody can say what is wrong with it; None if the scan is good enough."""
    if report is None:
        return Ground(
            "scan", "", "no scan that our scanner vouches for lies beside it; release it again"
        )
    if isinstance(report, ScanNotDone):
        return Ground("database.missing", "", report.reason)
    if not has_fresh_database(report, policy, now):
        return Ground("database.max_age_hours", "", _old(report, policy, now))
    if not is_fresh(report, policy, now):
        hours = _hours(report.scanned_at, now)
        told = (
            f"{hours:.0f} h ago" if hours > 0 else f"in {-hours:.0f} h from now, by its own words"
        )
        allowed = f"{policy.max_scan_age_hours:g} h"
        return Ground("max_scan_age_hours", "", f"it was scanned {told}, {allowed} are allowed")
    return None


def may_run_unscanned(why: Ground, policy: Policy) -> bool:
    """Only where a policy says so in words that sound like what they are, and only for want of a database."""
    return why.demand.startswith("database.") and policy.database.missing is WithoutDatabase.RUN


def unrecognised(report: ScanReport | ScanNotDone | None, policy: Policy) -> Ground | None:
    """Nothing was recognised: that is not nothing found."""
    if report is None or report.packages or policy.unrecognised is Answer.ALLOW:
        return None
    return Ground(
        "unrecognised",
        "",
        "the scanner recognised no package in it, so it could find nothing; bake on a base with a package database, or"
        " name a policy with `unrecognised: allow`",
    )


def _old(report: ScanReport, policy: Policy, now: datetime) -> str:
    age = _hours(report.database_updated_at, now)
    told = f"is {age:.0f} h old" if age > 0 else f"says it is made in {-age:.0f} h from now"
    return (
        f"the vulnerability database {told}, {policy.database.max_age_hours:g} h are allowed; let this machine reach a"
        " mirror of it, set its clock right, and try again"
    )


def _hours(moment: datetime, now: datetime) -> float:
    return (now - moment).total_seconds() / 3600
