"""What is remembered of admissions: no longer than it counts, and nothing that cannot be read."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from tasks.adapters import admissions
from tasks.adapters.admissions import Admissions, Admitted, admission_key
from tasks.evidence import Ground, Ruling
from tasks.model import Admission

NOW: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)
RULING: Final = Ruling(Admission.ADMIT, "fine", (Ground("vulnerabilities[0]", "CVE-1", "waived"),))
ADMITTED: Final = Admitted(RULING, ("sha256:" + "a" * 64,), NOW + timedelta(hours=1))
KEY: Final = admission_key("digest", "policy", "2026-06-01")


def test_what_was_kept_comes_back_whole_until_it_counts_no_longer(tmp_path: Path) -> None:
    kept = Admissions(tmp_path)
    assert kept.known(KEY, NOW) is None
    kept.keep(KEY, ADMITTED)
    assert kept.known(KEY, NOW) == ADMITTED
    assert kept.known(KEY, ADMITTED.until) is None


@pytest.mark.parametrize("content", [b"", b"{", b"null", b'{"ruling": {"answer": "perhaps"}}'])
def test_what_cannot_be_read_is_as_if_it_were_not_there(tmp_path: Path, content: bytes) -> None:
    kept = Admissions(tmp_path)
    kept.keep(KEY, ADMITTED)
    (tmp_path / f"{KEY}.json").write_bytes(content)
    assert kept.known(KEY, NOW) is None


def test_other_questions_have_other_keys() -> None:
    parts = [("a", "b"), ("ab", ""), ("b", "a"), ("a", "b", "")]
    assert len({admission_key(*each) for each in parts}) == len(parts)


def test_one_at_a_time_checks_and_the_others_find_what_it_found(tmp_path: Path) -> None:
    checks: list[int] = []

    def start(number: int) -> None:
        kept = Admissions(tmp_path)
        with kept.claim(KEY):
            if kept.known(KEY, NOW) is None:
                checks.append(number)
                kept.keep(KEY, ADMITTED)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(start, range(100)))
    assert len(checks) == 1


def test_of_very_many_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admissions, "KEPT", 3)
    kept = Admissions(tmp_path)
    for number in range(5):
        kept.keep(admission_key(str(number)), ADMITTED)
    assert len(list(tmp_path.glob("*.json"))) == 3
    assert kept.known(admission_key("4"), NOW) == ADMITTED


def test_locks_of_yesterday_are_cleared_away(tmp_path: Path) -> None:
    kept = Admissions(tmp_path)
    for number in range(3):
        with kept.claim(admission_key(str(number))):
            pass
    for lock in tmp_path.glob("*.lock"):
        os.utime(lock, (0, 0))
    kept.keep(KEY, ADMITTED)
    assert list(tmp_path.glob("*.lock")) == []
