"""What was recorded under real load, judged again without any engine: the verdicts are still the right ones."""

from pathlib import Path
from typing import Final

import pytest

from tasks.model import Verdict
from tests.benchmarks.live.recording import Recording, load_all, store
from tests.benchmarks.live.replaying import ours
from tests.benchmarks.live.trial import spec_of_trials
from tests.benchmarks.live.versions import VERSIONS

RECORDED: Final = Path(__file__).parent / "recorded"
RELEASED, ONWARD = load_all(RECORDED / "released"), load_all(RECORDED / "onward")
EXPECTED: Final = {one.name: one.expected for one in VERSIONS}
MOST_BYTES: Final = 300_000


def name(recording: Recording) -> str:
    return recording.name


def test_every_version_was_recorded_at_both_rates() -> None:
    found = {(one.version, one.rate) for one in RELEASED}
    assert found == {(one.name, rate) for one in VERSIONS for rate in (100.0, 500.0)}


@pytest.mark.parametrize("recording", RELEASED, ids=name)
def test_the_judge_comes_to_the_right_verdict_on_what_was_recorded(recording: Recording) -> None:
    found = ours(recording, spec_of_trials())
    assert found.verdict is EXPECTED[recording.version], found.reason


@pytest.mark.parametrize("recording", RELEASED, ids=name)
def test_the_verdict_given_then_was_the_right_one(recording: Recording) -> None:
    assert recording.verdict is EXPECTED[recording.version], recording.reason


@pytest.mark.parametrize("recording", ONWARD, ids=name)
def test_so_it_does_where_no_judge_was_asked_while_it_was_recorded(recording: Recording) -> None:
    found = ours(recording, spec_of_trials())
    assert found.verdict is EXPECTED[recording.version], found.reason


@pytest.mark.parametrize("recording", RELEASED, ids=name)
def test_no_sample_counts_twice(recording: Recording) -> None:
    ends = [one.at for one in recording.samples]
    begins = [one.at.timestamp() - one.seconds for one in recording.samples]
    for end, begin in zip(ends, begins[1:], strict=False):
        assert begin >= end.timestamp() - 1e-5


def test_recordings_are_small_and_come_back_as_they_were(tmp_path: Path) -> None:
    files = [path for path in RECORDED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    store(RELEASED[:1], tmp_path)
    assert load_all(tmp_path) == RELEASED[:1]


def test_good_versions_were_watched_to_the_end() -> None:
    good = [one for one in RELEASED if EXPECTED[one.version] is Verdict.PROMOTE]
    assert all(one.phases[-1].watch for one in good)
