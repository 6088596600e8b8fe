"""Many scans at once: a worker's own cache for each that runs, the others wait their turn and are told so."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import pytest

from tasks.adapters import trivy_database, trivy_workers
from tasks.adapters.layout import LayoutStore
from tasks.adapters.trivy import TrivyScanner
from tasks.errors import InvalidInputError, TransientError
from tasks.evidence import ScanReport
from tests.support.images import Content, ImageKind, debian, image, image_of, python_package
from tests.support.scanners import need_trivy, scanner_home
from tests.support.trivy_db import write_database


def silent(words: str) -> None:
    """Nobody listens."""


def test_the_lowest_free_worker_is_taken_so_that_what_it_learnt_is_found_again(
    tmp_path: Path,
) -> None:
    with trivy_workers.taken(tmp_path, 1, silent) as first:
        with trivy_workers.taken(tmp_path, 1, silent) as second:
            assert (first.name, second.name) == ("worker-1", "worker-2")
        with trivy_workers.taken(tmp_path, 1, silent) as again:
            assert again == second
    with trivy_workers.taken(tmp_path, 1, silent) as again:
        assert again == first
    assert trivy_workers.folders(tmp_path) == (first, second)


def test_who_finds_all_busy_waits_and_is_told_and_gets_the_first_that_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEWELL_TRIVY_WORKERS", "1")
    said, free = list[str](), threading.Event()

    def hold() -> None:
        with trivy_workers.taken(tmp_path, 1, silent):
            began.set()
            free.wait(10)

    began = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    began.wait(5)
    threading.Timer(0.5, free.set).start()
    start = time.monotonic()
    with trivy_workers.taken(tmp_path, 10, said.append) as worker:
        assert time.monotonic() - start > 0.3
        assert worker.name == "worker-1"
    holder.join()
    assert said == ["all 1 scanners are busy; waiting for 0 s now"]


def test_who_waits_too_long_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEWELL_TRIVY_WORKERS", "1")
    with (
        trivy_workers.taken(tmp_path, 1, silent),
        pytest.raises(TransientError, match="BAKEWELL_TRIVY_WORKERS"),
        trivy_workers.taken(tmp_path, 0.2, silent),
    ):
        pass


@pytest.mark.parametrize("wrong", ["0", "-1", "many", "1.5"])
def test_a_number_of_workers_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("BAKEWELL_TRIVY_WORKERS", wrong)
    with pytest.raises(InvalidInputError, match="give a number"):
        trivy_workers.at_once()


def test_a_worker_who_was_killed_leaves_his_place_free(tmp_path: Path) -> None:
    context = get_context("spawn")
    there = context.Event()
    process = context.Process(target=_hold_for_ever, args=(tmp_path, there))
    process.start()
    assert there.wait(30)
    with trivy_workers.taken(tmp_path, 1, silent) as second:
        assert second.name == "worker-2"
    process.kill()
    process.join()
    with trivy_workers.taken(tmp_path, 1, silent) as first:
        assert first.name == "worker-1"


def _hold_for_ever(home: Path, there: threading.Event) -> None:
    with trivy_workers.taken(home, 1, silent):
        there.set()
        time.sleep(1000)


def test_too_much_memory_of_layers_is_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trivy_workers, "LAYERS_AT_MOST_BYTES", 1000)
    learnt = tmp_path / "worker-1" / "fanal" / "fanal.db"
    learnt.parent.mkdir(parents=True)
    for size, kept in ((1000, True), (1001, False)):
        learnt.write_bytes(bytes(size))
        with trivy_workers.taken(tmp_path, 1, silent):
            assert learnt.exists() == kept


def test_a_lent_database_does_not_change_while_newer_ones_take_its_place(tmp_path: Path) -> None:
    worker = tmp_path / "worker-1"
    worker.mkdir()
    old, new = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2))
    write_database(tmp_path / "db", old)
    there = trivy_database.found(tmp_path)
    assert there is not None
    with trivy_database.lent(there, worker) as lent:
        (tmp_path / "db").rename(tmp_path / "gone")
        write_database(tmp_path / "db", new)
        assert lent.updated_at == old
        now_lent = trivy_database.found(worker)
        assert now_lent is not None
        assert now_lent.updated_at == old
    assert not (worker / "db").exists(), "given back"
    with trivy_database.lent(there, worker) as lent:
        assert lent.updated_at == new


def test_a_database_that_is_swapped_all_the_time_can_be_lent_each_time(tmp_path: Path) -> None:
    write_database(tmp_path / "db", datetime(2026, 1, 1, tzinfo=UTC))
    there = trivy_database.found(tmp_path)
    assert there is not None
    with _swapping(tmp_path):
        for number in range(100):
            worker = tmp_path / f"worker-{number}"
            worker.mkdir()
            with trivy_database.lent(there, worker) as lent:
                assert (lent.folder / "trivy.db").stat().st_size > 0


@contextmanager
def _swapping(home: Path) -> Iterator[None]:
    """As trivy_database does it when it renews one."""
    enough = threading.Event()

    def swap() -> None:
        number = 0
        while not enough.wait(0.005):
            number += 1
            fresh = home / f"incoming-{number}"
            write_database(fresh, datetime(2026, 1, 1, tzinfo=UTC))
            (home / "db").rename(home / f"old-{number}")
            fresh.rename(home / "db")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def test_a_database_that_is_gone_cannot_be_lent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trivy_database, "LEND_TRIES", 2)
    worker = tmp_path / "worker-1"
    worker.mkdir()
    gone = trivy_database.Database(tmp_path / "db", datetime.now(UTC))
    with (
        pytest.raises(TransientError, match="not there any more"),
        trivy_database.lent(gone, worker),
    ):
        pass


@pytest.mark.engine
def test_sixteen_artifacts_at_once_are_all_scanned_and_nobody_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_trivy()
    monkeypatch.setenv("BAKEWELL_TRIVY_WORKERS", "4")
    home, store = scanner_home(tmp_path, monkeypatch), LayoutStore(tmp_path / "artifacts")
    monkeypatch.setenv("BAKEWELL_TRIVY_WORKERS", "4")
    said = list[str]()
    artifacts = [image(store, kind) for kind in ImageKind]
    for number in range(16 - len(artifacts)):
        files = {**debian("bash bash 5.2.15-2"), **python_package(f"other{number}", "1.0")}
        artifacts.append(image_of(store, Content(files), "hello", f"more-{number}"))
    scanner = TrivyScanner(home, lambda repository: store, said.append)
    with ThreadPoolExecutor(16) as pool:
        scanned = list(pool.map(lambda one: scanner.scan(one, 120), artifacts))
    assert [one.report.digest for one in scanned] == [one.digest for one in artifacts]
    assert all(isinstance(one.report, ScanReport) for one in scanned), scanned
    assert len({one.cyclonedx for one in scanned}) == 16
    assert [one.name for one in trivy_workers.folders(home)] == [
        f"worker-{number}" for number in range(1, 5)
    ]
    assert any("all 4 scanners are busy" in words for words in said)
