"""Delivery: every accepted push becomes one run, or is superseded; whatever fails in between, none is lost or doubled."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.delivering import deliver
from flows.pushbook import PushBook
from tasks import platforms
from tasks.adapters import prefect_api
from tasks.adapters.prefect_api import FlowRun, PrefectApi
from tasks.errors import TransientError
from tasks.journal.events import ReleaseStarted, body_of, record
from tasks.journal.pushes import (
    DropCause,
    PushAccepted,
    PushDropped,
    PushEnded,
    PushTaken,
)
from tasks.journal.rules import ReleaseFinished, fold, verify_chain
from tasks.journal.waits import ReleaseWaits, Wait, WaitKind
from tasks.model import Source
from tasks.ports import Journal
from tasks.pushes import Forge, OnPush
from tests.support.events import release_started
from tests.support.fake_prefect import FakePrefect, fake_prefect
from tests.support.forge import SECRET, VARIABLE, repositories_yaml, repository


@pytest.fixture
def prefect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePrefect]:
    """With a home and a journal of the test's own, and one repository."""
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path))
    monkeypatch.setenv(VARIABLE, SECRET)
    file = repositories_yaml(
        tmp_path / "repositories.yaml",
        repository(services=[{"service": "cart", "folder": "cart", "to": "staging"}]),
    )
    monkeypatch.setenv("BAKEWELL_REPOSITORIES", str(file))
    with fake_prefect() as found:
        monkeypatch.setenv("PREFECT_API_URL", found.url)
        yield found


@pytest.fixture
def journal(prefect: FakePrefect) -> Journal:
    return platforms.journal()


def accept(journal: Journal, commit: str, ref: str = "main", service: str = "cart") -> int:
    body = PushAccepted("generic", f"d-{commit}", "shop", ref, commit, service, "ada")
    return record(journal, service, "", "", body).sequence


def done() -> list[str]:
    return list(deliver())


def told(journal: Journal, kind: type) -> list[tuple[object, ...]]:
    bodies = [body_of(event) for event in journal.events("cart")]
    return [tuple(vars(body).values()) for body in bodies if isinstance(body, kind)]


def test_a_push_becomes_a_run_of_the_release_at_exactly_its_commit(
    prefect: FakePrefect, journal: Journal
) -> None:
    push = accept(journal, "a" * 40)
    assert done() == [f"cart: {'a' * 12} is released by the run release cart {'a' * 12}"]
    (key, run), *others = prefect.runs.items()
    assert run["tags"] == ["service:cart", f"commit:{'a' * 12}", "push"]
    assert not others
    assert key == f"push:shop:{'a' * 40}:cart"
    assert run["parameters"] == {
        "request": {
            "repository": "shop",
            "commit": "a" * 40,
            "branch": "main",
            "subfolder": "cart",
            "to": "staging",
        }
    }
    assert told(journal, PushTaken) == [(push, ""), (push, "run-1")]
    assert done() == []
    assert prefect.creations == 1


def test_nothing_to_deliver_asks_nobody(prefect: FakePrefect) -> None:
    prefect.is_down = True
    assert done() == []


def test_while_prefect_is_down_nothing_is_promised_and_then_only_the_newest_is_released(
    prefect: FakePrefect, journal: Journal
) -> None:
    prefect.is_down = True
    pushes = [accept(journal, letter * 40) for letter in "abc"]
    other = accept(journal, "d" * 40, service="mail")
    for _ in range(3):
        with pytest.raises(TransientError):
            done()
    assert len(journal.events()) == 4
    prefect.is_down = False
    done()
    assert sorted(prefect.commits()) == ["c" * 40, "d" * 40]
    dropped = [(push, cause) for push, _, cause in told(journal, PushDropped)]
    assert dropped == [(push, DropCause.SUPERSEDED) for push in pushes[:2]]
    assert [body_of(one) for one in journal.events("mail")][-1] == PushTaken(other, "run-2")
    assert verify_chain(journal.events()) is None


def test_before_the_deployments_are_written_pushes_wait(
    prefect: FakePrefect, journal: Journal
) -> None:
    prefect.has_deployment = False
    accept(journal, "a" * 40)
    with pytest.raises(TransientError, match="bakewell up"):
        done()
    prefect.has_deployment = True
    done()
    assert prefect.commits() == ["a" * 40]


def test_a_run_whose_process_was_killed_is_made_again_and_not_for_ever(
    prefect: FakePrefect, journal: Journal
) -> None:
    push = accept(journal, "a" * 40)
    done()
    for attempt in (2, 3):
        prefect.end_all("CRASHED")
        again, made = done()
        assert f"released again ({attempt} of at most 3 times)" in again
        assert f"is released by the run release cart {'a' * 12}" in made
        assert done() == []
    prefect.end_all("CRASHED")
    (ended,) = done()
    assert "its run ended as Crashed" in ended
    assert prefect.commits() == ["a" * 40] * 3
    assert told(journal, PushEnded)[0][:2] == (push, False)


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_what_failed_or_was_ended_by_a_person_is_not_made_again(
    prefect: FakePrefect, journal: Journal, state: str
) -> None:
    accept(journal, "a" * 40)
    done()
    prefect.end_all(state)
    assert len(done()) == 1
    assert done() == []
    assert prefect.creations == 1


def test_what_was_killed_gives_way_to_a_newer_push(prefect: FakePrefect, journal: Journal) -> None:
    accept(journal, "a" * 40)
    done()
    prefect.end_all("CRASHED")
    accept(journal, "b" * 40)
    done()
    assert prefect.commits() == ["a" * 40, "b" * 40]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_around_the_second_attempt_it_is_made_once(
    prefect: FakePrefect, journal: Journal, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    accept(journal, "a" * 40)
    done()
    prefect.end_all("CRASHED")
    with monkeypatch.context() as patch:
        killed_around_creation(patch, moment)
        with pytest.raises(KilledError):
            done()
    done()
    done()
    assert prefect.commits() == ["a" * 40] * 2
    assert told(journal, PushTaken)[-1][1] == "run-2"


class KilledError(Exception):
    """As if the process had been killed there."""


def killed_around_creation(patch: pytest.MonkeyPatch, moment: str) -> None:
    create = PrefectApi.create_run

    def killed(self: PrefectApi, *words: object, **more: object) -> FlowRun:
        if moment == "after":
            create(self, *words, **more)  # type: ignore[arg-type]
        raise KilledError

    patch.setattr(prefect_api.PrefectApi, "create_run", killed)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_around_the_creation_of_the_run_the_next_one_finds_it(
    prefect: FakePrefect, journal: Journal, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    push = accept(journal, "a" * 40)
    with monkeypatch.context() as patch:
        killed_around_creation(patch, moment)
        with pytest.raises(KilledError):
            done()
    accept(journal, "b" * 40)
    done()
    assert prefect.commits() == ["a" * 40], "what was promised is kept, and made once"
    assert told(journal, PushTaken) == [(push, ""), (push, "run-1")]


def test_a_push_that_prefect_refuses_is_dropped_with_its_reason_and_may_come_again(
    prefect: FakePrefect, journal: Journal
) -> None:
    prefect.refuses = True
    push = accept(journal, "a" * 40)
    assert "Validation failed" in done()[-1]
    ((dropped, reason, cause),) = told(journal, PushDropped)
    assert (dropped, cause) == (push, DropCause.REFUSED)
    assert "Validation failed" in str(reason)
    prefect.refuses = False
    accept(journal, "a" * 40)
    done()
    assert prefect.commits() == ["a" * 40]


def test_a_release_in_flight_is_finished_before_the_next_begins(
    prefect: FakePrefect, journal: Journal
) -> None:
    accept(journal, "a" * 40)
    done()
    run = prefect.runs[f"push:shop:{'a' * 40}:cart"]
    run["state_type"] = run["state_name"] = "RUNNING"
    accept(journal, "b" * 40)
    assert done() == []
    assert prefect.commits() == ["a" * 40]
    accept(journal, "c" * 40)
    done()
    prefect.end_all()
    done()
    assert prefect.commits() == ["a" * 40, "c" * 40]
    assert told(journal, PushEnded) == [(1, True, "nothing changed, nothing rolled")]
    assert prefect.cancelled == []


def test_a_run_that_nobody_has_begun_is_superseded(prefect: FakePrefect, journal: Journal) -> None:
    accept(journal, "a" * 40)
    done()
    accept(journal, "b" * 40)
    assert "a newer push to main" in done()[0]
    assert prefect.cancelled == ["run-1"]
    done()
    assert prefect.commits() == ["a" * 40, "b" * 40]


def test_a_push_to_another_branch_supersedes_nothing_and_waits(
    prefect: FakePrefect, journal: Journal
) -> None:
    accept(journal, "a" * 40)
    done()
    accept(journal, "b" * 40, "release/1")
    assert done() == []
    assert prefect.cancelled == []


def released(journal: Journal, on_push: OnPush, commit: str) -> None:
    """As a run has journalled it."""
    start = release_started(1)
    spec = start.spec.model_copy(update={"on_push": on_push})
    body = ReleaseStarted(Source("shop", commit, False), spec, start.artifact, False)
    record(journal, "cart", "", "r1", body)


@pytest.mark.parametrize("rule", list(OnPush))
def test_a_service_chooses_whether_a_newer_push_withdraws_what_is_rolled_out(
    prefect: FakePrefect, journal: Journal, rule: OnPush
) -> None:
    accept(journal, "a" * 40)
    done()
    released(journal, rule, "a" * 40)
    run = prefect.runs[f"push:shop:{'a' * 40}:cart"]
    run["state_type"] = run["state_name"] = "RUNNING"
    accept(journal, "b" * 40)
    done()
    assert prefect.cancelled == (["run-1"] if rule is OnPush.WITHDRAW else [])
    if rule is OnPush.WITHDRAW:
        record(journal, "cart", "", "r1", ReleaseFinished("stopped: cancelled"))
        done()
        assert prefect.commits() == ["a" * 40, "b" * 40]
        assert told(journal, PushEnded) == [(1, False, "r1 stopped: cancelled")]


def test_a_release_that_waits_is_over_when_its_run_is_withdrawn(
    prefect: FakePrefect, journal: Journal
) -> None:
    accept(journal, "a" * 40)
    done()
    released(journal, OnPush.WITHDRAW, "a" * 40)
    wait = ReleaseWaits(Wait(WaitKind.APPROVAL, "production needs an approval"))
    record(journal, "cart", "production", "r1", wait)
    run = prefect.runs[f"push:shop:{'a' * 40}:cart"]
    run["state_type"], run["state_name"] = "PAUSED", "Suspended"
    accept(journal, "b" * 40)
    done()
    done()
    state = fold(journal.events("cart")).releases["cart", "r1"]
    assert (state.waiting, state.outcome) == (None, "stopped: its run was ended while it waited")
    assert prefect.commits() == ["a" * 40, "b" * 40]


def test_what_a_person_releases_is_waited_for(prefect: FakePrefect, journal: Journal) -> None:
    accept(journal, "a" * 40)
    lease = journal.acquire("cart", "", platforms.this_owner("release"), 20)
    assert done() == []
    journal.release(lease)
    assert len(done()) == 1


def test_a_run_that_prefect_has_forgotten_blocks_nothing(
    prefect: FakePrefect, journal: Journal
) -> None:
    accept(journal, "a" * 40)
    done()
    prefect.runs.clear()
    accept(journal, "b" * 40)
    done()
    assert prefect.commits() == ["b" * 40]
    assert told(journal, PushEnded) == [(1, False, "Prefect has forgotten its run")]


def test_while_another_process_delivers_this_one_does_not(
    prefect: FakePrefect, journal: Journal
) -> None:
    accept(journal, "a" * 40)
    lease = journal.acquire("", "pushes", platforms.this_owner("delivery of pushes"), 20)
    assert done() == []
    journal.release(lease)
    assert len(done()) == 1


def test_a_book_reads_only_what_is_new(journal: Journal) -> None:
    book = PushBook(journal)
    accept(journal, "a" * 40)
    assert list(book.refresh().open) == [1]
    accept(journal, "b" * 40)
    assert list(book.last().open) == [1]
    assert list(book.refresh().open) == [1, 2]
    assert book.refresh().open[2].at <= datetime.now(UTC)


# ---- what the forge is told ----------------------------------------------------------------------


def test_the_forge_is_told_and_one_that_does_not_answer_stops_nothing(
    prefect: FakePrefect, journal: Journal, tmp_path: Path
) -> None:
    status = {"api": "http://127.0.0.1:9", "token": {"variable": VARIABLE}}
    url = "https://git.example.org/team/shop.git"
    repositories_yaml(
        tmp_path / "repositories.yaml", repository("shop", url, Forge.GITEA, status=status)
    )
    accept(journal, "a" * 40)
    done()
    prefect.end_all("FAILED")
    assert done() == [f"cart: the release of {'a' * 12} has ended: its run ended as Failed"]
