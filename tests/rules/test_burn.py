"""The start gate: open, burning and unknown are three answers, and the numbers are the SRE workbook's."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.model import InstanceTraffic, Sample
from tasks.observe.burn import DAY, HOUR, Spent, Start, may_start, spent_of, windows
from tasks.service import ErrorObjective

ERRORS = ErrorObjective(objective=0.999)
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MONTH = 30 * DAY


def test_it_looks_at_five_windows_of_which_the_longest_is_the_budget() -> None:
    assert windows(ERRORS) == (300.0, 1800.0, HOUR, 6 * HOUR, MONTH)


def test_a_calm_service_may_change_and_the_gate_says_how_calm() -> None:
    calm = {seconds: Spent(1, 10_000) for seconds in windows(ERRORS)}
    found = may_start(calm, ERRORS)
    assert found.answer is Start.OPEN
    assert "0.1 times its error budget over the last 5 min" in found.reason


@pytest.mark.parametrize(
    ("hour", "minutes", "answer"),
    [
        (Spent(200, 10_000), Spent(20, 1_000), Start.BURNING),  # 20 times, and still
        (Spent(200, 10_000), Spent(0, 1_000), Start.OPEN),  # it was bad, and is over
        (Spent(1, 10_000), Spent(20, 1_000), Start.OPEN),  # bad just now: a blip of an hour
        (Spent(144, 10_000), Spent(144, 10_000), Start.BURNING),  # 14.4 is the limit itself
        (Spent(143, 10_000), Spent(143, 10_000), Start.OPEN),
        (Spent(4, 120), Spent(4, 120), Start.OPEN),  # 33 times, but four failures are chance
    ],
)
def test_it_closes_when_the_long_window_says_it_matters_and_the_short_one_that_it_goes_on(
    hour: Spent, minutes: Spent, answer: Start
) -> None:
    found = may_start({HOUR: hour, 300.0: minutes}, ERRORS)
    assert found.answer is answer


def test_a_slow_burn_is_seen_over_six_hours() -> None:
    found = may_start({6 * HOUR: Spent(70, 10_000), 1800.0: Spent(7, 1_000)}, ERRORS)
    assert found.answer is Start.BURNING
    assert "7.0 times too fast over the last 6 h" in found.reason


def test_the_last_tenth_of_the_budget_is_kept_for_emergencies() -> None:
    calm = {300.0: Spent(0, 10_000), MONTH: Spent(950, 1_000_000)}
    found = may_start(calm, ERRORS)
    assert found.answer is Start.BURNING
    assert "5% of the error budget of 30 days is left" in found.reason
    generous = ERRORS.model_copy(update={"reserve": 0.0})
    assert may_start(calm, generous).answer is Start.OPEN


@pytest.mark.parametrize("spent", [{}, {HOUR: Spent(9, 9), 300.0: Spent(9, 9)}])
def test_nothing_or_a_handful_of_requests_is_unknown_and_not_calm(
    spent: dict[float, Spent],
) -> None:
    assert may_start(spent, ERRORS).answer is Start.UNKNOWN


def sample(minutes_ago: float, group: str, failures: int) -> Sample:
    traffic = InstanceTraffic(group, f"{group}-1", 1_000, failures)
    return Sample(NOW - timedelta(minutes=minutes_ago), 10.0, (traffic,))


def test_from_samples_each_window_counts_what_is_in_it_and_only_the_groups_asked_for() -> None:
    samples = [
        sample(200, "r1", 7),
        sample(40, "r1", 5),
        sample(10, "r1", 3),
        sample(1, "r1", 1),
        sample(1, "r2", 900),
    ]
    found = spent_of(samples, {"r1"}, NOW, ERRORS)
    assert found == {
        300.0: Spent(1, 1_000),
        1800.0: Spent(4, 2_000),
        HOUR: Spent(9, 3_000),
        6 * HOUR: Spent(16, 4_000),
    }
