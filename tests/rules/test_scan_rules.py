"""What the scan policy refuses, what it lets pass, and that not knowing is never the same as clean."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tasks.evidence import Finding, FindingKind, ScanNotDone, ScanReport, Severity
from tasks.model import Admission
from tasks.scan.rules import is_fresh, judge_scan, without_bill
from tasks.service import ScanPolicy, WithoutDatabase

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CLEAN = ScanReport("sha256:" + "a" * 64, "trivy 0.76.0", NOW, NOW - timedelta(hours=3), 12)
NOT_DONE = ScanNotDone(CLEAN.digest, "there is no vulnerability database", NOW, 12)
POLICY = ScanPolicy()


def finding(severity: Severity, fixed: str = "2.0", name: str = "CVE-2026-1") -> Finding:
    kind = FindingKind.VULNERABILITY
    return Finding(kind, name, severity, "leaky", "1.0", fixed, "a title")


SECRET = Finding(FindingKind.SECRET, "aws", Severity.CRITICAL, "/app/key", "", "", "AWS key")


def judge(
    *findings: Finding, policy: ScanPolicy = POLICY, now: datetime = NOW
) -> tuple[Admission, str]:
    decision = judge_scan(replace(CLEAN, findings=findings), policy, now)
    return decision.answer, decision.reason


def test_a_clean_report_is_admitted_with_its_numbers() -> None:
    answer, reason = judge()
    assert answer is Admission.ADMIT
    assert "12 packages" in reason


@pytest.mark.parametrize("severity", Severity)
def test_exactly_the_severities_of_the_policy_are_refused(severity: Severity) -> None:
    answer, _ = judge(finding(severity))
    assert (answer is Admission.REFUSE) == (severity in POLICY.fail_on)


def test_a_refusal_names_the_worst_and_what_to_update_to() -> None:
    answer, reason = judge(
        finding(Severity.HIGH, name="CVE-1"), finding(Severity.CRITICAL, name="CVE-2")
    )
    assert answer is Admission.REFUSE
    assert reason.index("CVE-2 (CRITICAL)") < reason.index("CVE-1 (HIGH)")
    assert "leaky 1.0: update to 2.0" in reason


def test_what_has_no_fix_is_let_pass_unless_the_policy_says_otherwise() -> None:
    unfixed = finding(Severity.CRITICAL, fixed="")
    assert judge(unfixed)[0] is Admission.ADMIT
    answer, reason = judge(unfixed, policy=ScanPolicy(fail_on_unfixed=True))
    assert answer is Admission.REFUSE
    assert "no fix exists yet" in reason


def test_secrets_are_refused_unless_the_policy_says_otherwise() -> None:
    answer, reason = judge(SECRET)
    assert answer is Admission.REFUSE
    assert "AWS key in /app/key" in reason
    assert judge(SECRET, policy=ScanPolicy(fail_on_secrets=False))[0] is Admission.ADMIT


@pytest.mark.parametrize(("hours", "admitted"), [(47.9, True), (48.1, False), (2000, False)])
def test_a_database_that_is_too_old_counts_as_none(hours: float, admitted: bool) -> None:
    now = CLEAN.database_updated_at + timedelta(hours=hours)
    answer, reason = judge(now=now)
    assert (answer is Admission.ADMIT) == admitted == is_fresh(CLEAN, POLICY, now)
    assert admitted or "h old" in reason


def test_a_report_without_packages_says_how_little_it_means() -> None:
    decision = judge_scan(replace(CLEAN, packages=0), POLICY, NOW)
    assert "recognised no package" in decision.reason


def test_a_scan_that_was_not_done_is_refused_with_its_reason() -> None:
    decision = judge_scan(NOT_DONE, POLICY, NOW)
    assert decision.answer is Admission.REFUSE
    assert NOT_DONE.reason in decision.reason
    assert "not scanned is not clean" in decision.reason


def test_only_words_that_sound_like_what_they_are_let_it_run_unscanned() -> None:
    policy = ScanPolicy(without_database=WithoutDatabase.RUN)
    decision = judge_scan(NOT_DONE, policy, NOW)
    assert decision.answer is Admission.ADMIT
    assert "WITHOUT ANYBODY KNOWING" in decision.reason
    assert "vulnerabilities" in policy.without_database.value


def test_a_secret_is_refused_even_where_running_unscanned_is_allowed() -> None:
    policy = ScanPolicy(without_database=WithoutDatabase.RUN)
    decision = judge_scan(replace(NOT_DONE, secrets=(SECRET,)), policy, NOW)
    assert decision.answer is Admission.REFUSE


def test_a_database_from_the_future_is_not_believed() -> None:
    for hours, admitted in ((0.5, True), (1.5, False), (9000, False)):
        report = replace(CLEAN, database_updated_at=NOW + timedelta(hours=hours))
        decision = judge_scan(report, POLICY, NOW)
        assert (decision.answer is Admission.ADMIT) == admitted, hours
        assert admitted or "clock" in decision.reason


def test_an_old_database_counts_as_none_also_where_running_unscanned_is_allowed() -> None:
    policy = ScanPolicy(without_database=WithoutDatabase.RUN)
    old = replace(CLEAN, database_updated_at=NOW - timedelta(hours=90))
    decision = judge_scan(old, policy, NOW)
    assert decision.answer is Admission.ADMIT
    assert "NOT SCANNED (the vulnerability database is 90 h old" in decision.reason
    for known in (finding(Severity.CRITICAL), SECRET):
        found = judge_scan(replace(old, findings=(known,)), policy, NOW)
        assert found.answer is Admission.REFUSE, "what even an old database knows is known"


@pytest.mark.parametrize("known", [finding(Severity.HIGH), SECRET])
def test_what_a_scan_found_wrong_stays_found_without_a_bill(known: Finding) -> None:
    policy = ScanPolicy(without_database=WithoutDatabase.RUN)
    report = replace(CLEAN, findings=(known,))
    assert without_bill(report, policy, "no bill", NOW) == report
    assert judge_scan(report, policy, NOW).answer is Admission.REFUSE


def test_a_clean_scan_without_a_bill_is_a_scan_not_done() -> None:
    found = without_bill(CLEAN, POLICY, "no bill", NOW)
    assert found == ScanNotDone(CLEAN.digest, "no bill", NOW, CLEAN.packages)
    assert judge_scan(found, POLICY, NOW).answer is Admission.REFUSE


def test_secrets_that_the_policy_lets_pass_are_told_without_a_bill() -> None:
    policy = ScanPolicy(fail_on_secrets=False)
    found = without_bill(replace(CLEAN, findings=(SECRET,)), policy, "no bill", NOW)
    assert isinstance(found, ScanNotDone)
    assert found.secrets == (SECRET,)
