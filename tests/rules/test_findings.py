"""What a policy refuses of what a scan found, what it lets pass, and that not knowing is never the same as clean."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.admit.findings import unfit_waivers, weigh
from tasks.admit.rules import judge_scan
from tasks.admit.scans import has_fresh_database, is_fresh
from tasks.evidence import Finding, FindingKind, Ruling, ScanNotDone, ScanReport, Severity
from tasks.model import Admission
from tasks.policy import (
    Answer,
    DatabaseRule,
    Fix,
    Licences,
    Policy,
    VulnerabilityRule,
    Waiver,
    WithoutDatabase,
)
from tasks.scan.scanning import remembering

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TODAY = NOW.date()
CLEAN = ScanReport("sha256:" + "a" * 64, "trivy 0.76.0", NOW, NOW - timedelta(hours=3), 12)
NOT_DONE = ScanNotDone(CLEAN.digest, "there is no vulnerability database", NOW, 12)
POLICY = Policy()
UNSCANNED = Policy(database=DatabaseRule(missing=WithoutDatabase.RUN))
SECRET = Finding(FindingKind.SECRET, "aws", Severity.CRITICAL, "/app/key", "", "", "AWS key")


def finding(severity: Severity, fixed: str = "2.0", name: str = "CVE-2026-1") -> Finding:
    return Finding(
        FindingKind.VULNERABILITY,
        name,
        severity,
        "leaky",
        "1.0",
        fixed,
        "a title",
        NOW - timedelta(days=10),
        "pkg:pypi/leaky@1.0",
    )


def licence(name: str) -> Finding:
    return Finding(FindingKind.LICENCE, name, Severity.HIGH, "copyleft", "", "", "")


def waiver(**changes: object) -> Waiver:
    whole = {
        "id": "CVE-2026-1",
        "owner": "ann@example.org",
        "reason": "the function is never called",
        "expires": TODAY,
    }
    return Waiver.model_validate(whole | changes)


def judge(*findings: Finding, policy: Policy = POLICY, now: datetime = NOW) -> Ruling:
    return judge_scan(replace(CLEAN, scanned_at=now, findings=findings), policy, "hello", now)


def test_a_clean_report_is_admitted_with_its_numbers() -> None:
    ruling = judge()
    assert ruling.answer is Admission.ADMIT
    assert "12 packages" in ruling.reason


# ---- vulnerabilities -----------------------------------------------------------------------------


@pytest.mark.parametrize("severity", Severity)
def test_exactly_the_severities_of_the_policy_are_refused(severity: Severity) -> None:
    refused = severity in POLICY.vulnerabilities[0].severities
    assert (judge(finding(severity)).answer is Admission.REFUSE) == refused


def test_a_refusal_names_every_finding_that_decided_it_the_worst_first() -> None:
    names = [f"CVE-{number}" for number in range(9)]
    found = [finding(Severity.HIGH, name=name) for name in names]
    ruling = judge(*found, finding(Severity.CRITICAL, name="CVE-X"))
    assert [ground.subject for ground in ruling.grounds] == ["CVE-X", *names]
    assert {ground.demand for ground in ruling.grounds} == {"vulnerabilities[0]"}
    assert ruling.reason.startswith("CVE-X (CRITICAL) in leaky 1.0: update to 2.0")
    assert ruling.reason.endswith("and 7 more reasons")


@pytest.mark.parametrize(
    ("fix", "with_fix", "without"),
    [
        (Fix.AVAILABLE, Admission.REFUSE, Admission.ADMIT),
        (Fix.NONE, Admission.ADMIT, Admission.REFUSE),
        (Fix.ANY, Admission.REFUSE, Admission.REFUSE),
    ],
)
def test_a_rule_is_for_those_with_a_fix_without_or_any(
    fix: Fix, with_fix: Admission, without: Admission
) -> None:
    policy = Policy(vulnerabilities=(VulnerabilityRule(fix=fix),))
    assert judge(finding(Severity.CRITICAL), policy=policy).answer is with_fix
    assert judge(finding(Severity.CRITICAL, fixed=""), policy=policy).answer is without


def test_a_fresh_vulnerability_may_have_time_and_one_of_unknown_age_has_none() -> None:
    rule = VulnerabilityRule(severities=(Severity.HIGH,), public_for_days=14)
    policy, known = Policy(vulnerabilities=(rule,)), finding(Severity.HIGH)
    assert judge(known, policy=policy).answer is Admission.ADMIT
    assert judge(known, policy=policy, now=NOW + timedelta(days=4)).answer is Admission.REFUSE
    unknown = replace(known, published_at=None)
    assert judge(unknown, policy=policy).answer is Admission.REFUSE


def test_the_grounds_say_which_rule_of_the_policy_it_was() -> None:
    late = VulnerabilityRule(severities=(Severity.HIGH,), public_for_days=99)
    always = VulnerabilityRule(severities=(Severity.CRITICAL,), fix=Fix.ANY)
    found = judge(
        finding(Severity.CRITICAL, fixed=""),
        finding(Severity.HIGH),
        policy=Policy(vulnerabilities=(late, always)),
    )
    assert [ground.demand for ground in found.grounds] == ["vulnerabilities[1]"]


# ---- secrets and licences ------------------------------------------------------------------------


def test_secrets_are_refused_unless_the_policy_says_otherwise() -> None:
    ruling = judge(SECRET)
    assert ruling.answer is Admission.REFUSE
    assert "AWS key in /app/key" in ruling.reason
    assert judge(SECRET, policy=Policy(secrets=Answer.ALLOW)).answer is Admission.ADMIT


@pytest.mark.parametrize(
    ("name", "refused"),
    [("GPL-3.0-only", True), ("gpl-2.0", True), ("AGPL-3.0-only", False), ("MIT", False)],
)
def test_licences_are_refused_by_their_names(name: str, refused: bool) -> None:
    ruling = judge(licence(name), policy=Policy(licences=Licences(refuse=("GPL-*",))))
    assert (ruling.answer is Admission.REFUSE) == refused
    assert not refused or "copyleft has the licence" in ruling.reason


@pytest.mark.parametrize("name", ["", "unknown", "NOASSERTION"])
def test_a_licence_that_nobody_could_tell_is_refused_where_the_policy_says_so(name: str) -> None:
    assert judge(licence(name)).answer is Admission.ADMIT
    strict = Policy(licences=Licences(unknown=Answer.REFUSE))
    assert judge(licence(name), policy=strict).grounds[0].demand == "licences.unknown"


# ---- waivers -------------------------------------------------------------------------------------


def test_a_waived_finding_runs_and_says_who_waived_it_until_when() -> None:
    ruling = judge(finding(Severity.CRITICAL), policy=Policy(waivers=(waiver(),)))
    assert ruling.answer is Admission.ADMIT
    (known,) = ruling.grounds
    assert "ann@example.org until 2026-06-01: the function is never called" in known.why


@pytest.mark.parametrize(
    "other",
    [
        {"id": "CVE-2026-2"},
        {"packages": ["else*"]},
        {"packages": ["pkg:pypi/leaky@2*"]},
        {"services": ["other-*"]},
        {"expires": TODAY - timedelta(days=1)},
    ],
)
def test_a_waiver_is_for_what_it_names_and_no_longer_than_its_day(other: dict[str, object]) -> None:
    policy = Policy(waivers=(waiver(**other),))
    assert judge(finding(Severity.CRITICAL), policy=policy).answer is Admission.REFUSE


@pytest.mark.parametrize("packages", [["leaky"], ["lea*"], ["pkg:pypi/leaky@*"], []])
def test_a_waiver_names_packages_or_their_purls(packages: list[str]) -> None:
    policy = Policy(waivers=(waiver(packages=packages, services=["hel*"]),))
    assert judge(finding(Severity.CRITICAL), policy=policy).answer is Admission.ADMIT


def test_an_expired_waiver_is_named_in_the_refusal() -> None:
    gone = waiver(expires=date(2026, 5, 31))
    ruling = judge(finding(Severity.CRITICAL), policy=Policy(waivers=(gone,)))
    assert "the waiver of ann@example.org for it expired on 2026-05-31" in ruling.reason
    assert unfit_waivers((gone, waiver()), TODAY) == (gone,)


def test_secrets_and_licences_can_be_waived_too() -> None:
    waivers = (waiver(id="aws", packages=["/app/*"]), waiver(id="GPL-3.0"))
    policy = Policy(licences=Licences(refuse=("GPL-*",)), waivers=waivers)
    assert judge(SECRET, licence("GPL-3.0"), policy=policy).answer is Admission.ADMIT


FINDINGS = st.builds(
    finding, st.sampled_from(Severity), st.sampled_from(["", "2.0"]), st.sampled_from("ABC")
)


@given(st.lists(FINDINGS), st.sets(st.sampled_from("ABC")), st.sampled_from(Fix))
def test_every_finding_is_refused_waived_or_of_no_rule(
    findings: list[Finding], waived: set[str], fix: Fix
) -> None:
    waivers = tuple(waiver(id=name) for name in sorted(waived))
    rules = (VulnerabilityRule(fix=fix),)
    bare = weigh(findings, Policy(vulnerabilities=rules), "hello", NOW)
    found = weigh(findings, Policy(vulnerabilities=rules, waivers=waivers), "hello", NOW)
    assert {one.subject for one in found.waived} <= waived
    assert not {one.subject for one in found.refused} & waived
    assert {one.subject for one in bare.refused} == {
        one.subject for one in (*found.refused, *found.waived)
    }


# ---- scans ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hours", "admitted"), [(47.9, True), (48.1, False), (2000, False)])
def test_a_database_that_is_too_old_counts_as_none(hours: float, admitted: bool) -> None:
    now = CLEAN.database_updated_at + timedelta(hours=hours)
    ruling = judge(now=now)
    assert (ruling.answer is Admission.ADMIT) == admitted
    assert admitted == has_fresh_database(CLEAN, POLICY, now)
    assert admitted or "h old" in ruling.reason


@pytest.mark.parametrize(
    ("hours", "fresh"), [(23.9, True), (24.1, False), (-0.9, True), (-2, False)]
)
def test_a_scan_grows_old_as_well_and_none_comes_from_the_future(hours: float, fresh: bool) -> None:
    scanned_at = NOW - timedelta(hours=hours)
    report = replace(CLEAN, scanned_at=scanned_at)
    assert is_fresh(report, POLICY, NOW) == fresh
    ruling = judge_scan(report, POLICY, "hello", NOW)
    assert (ruling.answer is Admission.ADMIT) == fresh
    assert fresh or ruling.grounds[0].demand == "max_scan_age_hours"


def test_nothing_recognised_is_not_nothing_found() -> None:
    empty = replace(CLEAN, packages=0)
    ruling = judge_scan(empty, POLICY, "hello", NOW)
    assert ruling.answer is Admission.REFUSE
    assert "recognised no package" in ruling.reason
    allowed = judge_scan(empty, Policy(unrecognised=Answer.ALLOW), "hello", NOW)
    assert allowed.answer is Admission.ADMIT
    assert "says little" in allowed.reason


def test_a_scan_that_was_not_done_is_refused_with_its_reason() -> None:
    ruling = judge_scan(NOT_DONE, POLICY, "hello", NOW)
    assert ruling.answer is Admission.REFUSE
    assert NOT_DONE.reason in ruling.reason
    assert "not scanned is not clean" in ruling.reason


def test_only_words_that_sound_like_what_they_are_let_it_run_unscanned() -> None:
    ruling = judge_scan(NOT_DONE, UNSCANNED, "hello", NOW)
    assert ruling.answer is Admission.ADMIT
    assert "WITHOUT ANYBODY KNOWING" in ruling.reason
    assert "vulnerabilities" in UNSCANNED.database.missing.value


def test_a_secret_is_refused_even_where_running_unscanned_is_allowed() -> None:
    known = replace(NOT_DONE, secrets=(SECRET,))
    assert judge_scan(known, UNSCANNED, "hello", NOW).answer is Admission.REFUSE


def test_a_database_from_the_future_is_not_believed() -> None:
    for hours, admitted in ((0.5, True), (1.5, False), (9000, False)):
        report = replace(CLEAN, database_updated_at=NOW + timedelta(hours=hours))
        ruling = judge_scan(report, POLICY, "hello", NOW)
        assert (ruling.answer is Admission.ADMIT) == admitted, hours
        assert admitted or "clock" in ruling.reason


def test_an_old_database_counts_as_none_also_where_running_unscanned_is_allowed() -> None:
    old = replace(CLEAN, database_updated_at=NOW - timedelta(hours=90))
    ruling = judge_scan(old, UNSCANNED, "hello", NOW)
    assert ruling.answer is Admission.ADMIT
    assert "NOT SCANNED (the vulnerability database is 90 h old" in ruling.reason
    for known in (finding(Severity.CRITICAL), SECRET):
        found = judge_scan(replace(old, findings=(known,)), UNSCANNED, "hello", NOW)
        assert found.answer is Admission.REFUSE, "what even an old database knows is known"


@pytest.mark.parametrize("known", [finding(Severity.CRITICAL), SECRET])
def test_a_scan_that_was_not_done_forgets_nothing_that_an_earlier_one_found(known: Finding) -> None:
    """Else to lose the database would be the way to run what it knew to be wrong."""
    report: ScanReport | ScanNotDone = replace(CLEAN, findings=(known,))
    for _ in range(3):
        report = remembering(NOT_DONE, report)
        ruling = judge_scan(report, UNSCANNED, "hello", NOW)
        assert (ruling.answer, ruling.grounds[0].subject) == (Admission.REFUSE, known.id)
    assert remembering(CLEAN, report) == CLEAN, "one that was done knows better"
    assert judge_scan(remembering(NOT_DONE, CLEAN), UNSCANNED, "hello", NOW).answer is (
        Admission.ADMIT
    )
