"""The vulnerability database: downloaded by the real Trivy from a real registry, kept, replaced, or not to be had."""

import json
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.adapters import trivy_database
from tasks.adapters.registry import RegistryStore
from tasks.adapters.trivy import prepare_database
from tests.support.engines import free_port
from tests.support.registry import Registry, running_registry
from tests.support.scanners import need_trivy, pretend, pretending
from tests.support.trivy_db import publish_database, write_database

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_trivy()
    monkeypatch.delenv("BAKEWELL_TRIVY_SERVER", raising=False)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with running_registry(tmp_path / "registry") as running:
        yield running


def hours_ago(hours: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(hours=hours)


def published(tmp_path: Path, registry: Registry, updated_at: datetime, name: str = "db") -> str:
    folder = tmp_path / "published" / name
    write_database(folder, updated_at)
    publish_database(RegistryStore(f"{registry.host}/{name}"), folder)
    return f"{registry.host}/{name}:2"


def use(monkeypatch: pytest.MonkeyPatch, *mirrors: str) -> None:
    monkeypatch.setenv("BAKEWELL_TRIVY_DB", ", ".join(mirrors))


def updated_at(cache: Path) -> datetime | None:
    there = trivy_database.found(cache)
    return there.updated_at if there else None


@pytest.mark.parametrize("had_hours", [None, 7, 2000])
def test_a_missing_or_old_database_is_replaced_by_the_mirrors(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, had_hours: float | None
) -> None:
    cache, newest = tmp_path / "cache", hours_ago(1)
    use(monkeypatch, published(tmp_path, registry, newest))
    if had_hours:
        write_database(cache / "db", hours_ago(had_hours))
    assert prepare_database(cache) == ""
    assert updated_at(cache) == newest
    left = {path.name for path in cache.iterdir()} - {"db", ".update-lock", "last-update.json"}
    assert left == set(), "neither the old database nor the download's folder"


def test_a_young_database_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, f"127.0.0.1:{free_port()}/db:2")
    write_database(tmp_path / "db", hours_ago(5))
    assert prepare_database(tmp_path) == ""
    assert not (tmp_path / "last-update.json").exists()


def test_a_lagging_mirror_neither_replaces_a_newer_database_nor_is_asked_each_time(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, ours = tmp_path / "cache", hours_ago(50)
    use(monkeypatch, published(tmp_path, registry, hours_ago(60)))
    write_database(cache / "db", ours)
    assert "its mirror has nothing newer" in prepare_database(cache)
    assert updated_at(cache) == ours
    registry.stop()
    assert "its mirror has nothing newer" in prepare_database(cache), "not asked again"


def test_an_old_database_that_cannot_be_renewed_is_kept_and_named_as_the_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, f"127.0.0.1:{free_port()}/db:2")
    for hours, fit in ((40, True), (90, False)):
        write_database(tmp_path / "db", hours_ago(hours))
        problem = prepare_database(tmp_path)
        assert (problem == "") == fit, hours
        assert trivy_database.found(tmp_path) is not None
    assert "cannot be renewed: no mirror of it can be reached" in problem


def test_a_mirror_that_is_down_and_one_without_it_do_not_hide_the_one_that_has_it(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = published(tmp_path, registry, hours_ago(1))
    use(monkeypatch, f"127.0.0.1:{free_port()}/db:2", f"{registry.host}/nothing:2", good)
    assert prepare_database(tmp_path / "cache") == ""


def test_when_no_mirror_has_it_each_is_named_with_its_reason(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = f"127.0.0.1:{free_port()}"
    use(monkeypatch, f"{dead}/db:2", f"{registry.host}/nothing:2")
    problem = prepare_database(tmp_path / "cache")
    assert "no mirror has it" in problem
    assert dead in problem
    assert registry.host in problem


def test_after_a_failure_another_mirror_is_tried_at_once(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, f"127.0.0.1:{free_port()}/db:2")
    assert prepare_database(tmp_path / "cache")
    use(monkeypatch, published(tmp_path, registry, hours_ago(1)))
    assert prepare_database(tmp_path / "cache") == ""


def test_a_mirror_that_accepts_and_says_nothing_costs_seconds_and_then_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trivy_database, "REACH_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use(monkeypatch, *(f"127.0.0.1:{silent.getsockname()[1]}/{name}:2" for name in "abc"))
        began = time.monotonic()
        assert "no mirror of it can be reached" in prepare_database(tmp_path)
        assert time.monotonic() - began < 2.5, "asked side by side"
        began = time.monotonic()
        assert "no mirror of it can be reached" in prepare_database(tmp_path)
        assert time.monotonic() - began < 0.3


def test_a_database_from_the_future_is_neither_kept_nor_taken(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, newest = tmp_path / "cache", hours_ago(1)
    write_database(cache / "db", hours_ago(-9000))
    use(monkeypatch, published(tmp_path, registry, hours_ago(-9000), "future"))
    assert "which is to come; is this machine's clock right?" in prepare_database(cache)
    use(monkeypatch, published(tmp_path, registry, newest))
    assert prepare_database(cache) == ""
    assert updated_at(cache) == newest


def test_a_database_of_another_schema_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, f"127.0.0.1:{free_port()}/db:2")
    write_database(tmp_path / "db", hours_ago(1))
    path = tmp_path / "db" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "Version": 3}))
    assert trivy_database.found(tmp_path) is None
    assert "no mirror of it can be reached" in prepare_database(tmp_path)


def test_a_download_that_hangs_is_given_up_and_leaves_nothing(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, published(tmp_path, registry, hours_ago(1)))
    monkeypatch.setattr(trivy_database, "DOWNLOAD_SECONDS", 1.5)
    with pretending(tmp_path, monkeypatch) as program:
        pretend(program, "exec sleep 1000\n")
        cache = tmp_path / "cache"
        assert "no answer in 1.5 s, so it was killed" in prepare_database(cache)
    assert not list(cache.glob("bakewell-trivy-*"))
