"""A rebuild of services that run in memory: real bakes, signatures, journal and releases."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows import promotion
from flows.command import Exit, run
from flows.rebuild import rebuild
from flows.release import ReleaseRequest, release
from flows.staleness import planned
from flows.unchanged import released_already
from tasks import platforms
from tasks.adapters.layout import LayoutStore
from tasks.adapters.memory import MemoryScanner, world_named
from tasks.journal.rebuilds import RebuildDone
from tasks.journal.rules import EventKind, ReleaseStarted, body_of
from tasks.lanes import LaneKind
from tasks.model import Artifact
from tasks.references import promoted_tag
from tasks.stale import Rebuilt
from tests.support.evidence import cheap_keys
from tests.support.standing import TAG, base_image, base_of, serving, stand, write_service


@dataclass(frozen=True)
class Ground:
    """A home of its own, and one base whose tag can be moved."""

    folder: Path
    store: LayoutStore

    @property
    def base(self) -> str:
        """As service.yaml names it."""
        return f"{self.store.repository}:{TAG}@{self.store.resolve(TAG)}"

    def move(self, words: str) -> str:
        return base_image(self.store, words)

    def on_base(self, name: str, **production: Any) -> Artifact:
        return stand(write_service(self.folder / name, name, self.base, **production))

    def on(self, parent: Artifact, name: str) -> Artifact:
        base = f"{parent.repository}:{promoted_tag(parent.service)}@{parent.digest}"
        return stand(write_service(self.folder / name, name, base))


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path / "home"))
    world = world_named(str(platforms.home()))
    monkeypatch.setattr(platforms, "scanner", lambda say=None: MemoryScanner(world))
    store = LayoutStore(tmp_path / "base")
    base_image(store, "first")
    with cheap_keys():
        yield Ground(tmp_path / "services", store)


def test_nothing_is_stale_where_nothing_moved(ground: Ground) -> None:
    ground.on_base("still")
    done = rebuild()
    assert (planned().stale, done.stale, done.is_finished) == ((), (), True)


def test_a_moved_base_is_followed_by_the_service_and_by_whoever_stands_on_it(
    ground: Ground,
) -> None:
    parent = ground.on_base("parent")
    child = ground.on(parent, "child")
    moved = ground.move("second")
    assert [one.service for one in planned().stale] == ["parent", "child"]
    done = rebuild()
    assert done.outcomes == {"parent": Rebuilt.PATCHED, "child": Rebuilt.PATCHED}
    assert base_of(serving("parent")) == moved
    assert base_of(serving("child")) == serving("parent").digest != parent.digest
    assert serving("child").digest != child.digest
    lanes = [body.lane for body in started("child")]
    assert [one.kind for one in lanes] == [LaneKind.NORMAL, LaneKind.PATCH]
    assert "it stands on parent" in lanes[-1].reason
    assert planned().stale == ()


def started(service: str) -> list[ReleaseStarted]:
    bodies = [body_of(event) for event in platforms.journal().events(service)]
    return [body for body in bodies if isinstance(body, ReleaseStarted)]


def done_of(service: str) -> RebuildDone:
    bodies = [body_of(event) for event in platforms.journal().events(service)]
    return [body for body in bodies if isinstance(body, RebuildDone)][-1]


def test_the_next_release_of_the_same_commit_does_not_return_to_the_older_base(
    ground: Ground,
) -> None:
    ground.on_base("steady")
    moved = ground.move("second")
    rebuild()
    again = released_already(ground.folder / "steady", "")
    assert again is not None
    assert again.outcome == "nothing changed, nothing rolled"
    (ground.folder / "steady" / "app").write_text("the next commit\n")
    released = release(ReleaseRequest(folder=ground.folder / "steady"))
    assert released.outcome == "promoted in production"
    assert base_of(serving("steady")) == moved


def test_one_that_cannot_be_rebuilt_stops_nobody_but_those_that_stand_on_it(
    ground: Ground,
) -> None:
    parent = ground.on_base("changed")
    ground.on(parent, "child")
    ground.on_base("other")
    (ground.folder / "changed" / "app").write_text("something else\n")
    ground.move("second")
    done = rebuild()
    assert done.outcomes == {
        "changed": Rebuilt.FAILED,
        "child": Rebuilt.SKIPPED,
        "other": Rebuilt.PATCHED,
    }
    assert "holds something else by now" in done_of("changed").note
    assert done_of("child").note == "it stands on changed, which could not be rebuilt"
    assert serving("changed").digest == parent.digest


def test_what_is_too_old_and_comes_out_the_same_rolls_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = ground.folder.parent / "policies"
    policies.mkdir()
    rules = "rebuild: {max_age_days: 0.000001}\n"
    (policies / "default.yaml").write_text(rules)
    monkeypatch.setenv("BAKEWELL_POLICIES", str(policies))
    ground.on_base("old")
    before = len(platforms.journal().events("old"))
    done = rebuild()
    assert done.outcomes == {"old": Rebuilt.UNCHANGED}
    assert len(platforms.journal().events("old")) == before + 1, "only that it was rebuilt"


def test_a_plan_is_printed_and_nothing_is_done(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    ground.on_base("planned")
    moved = ground.move("second")
    kinds = [event.kind for event in platforms.journal().events()]
    assert run(["rebuild", "--plan", "--json"]) == Exit.DONE
    (stale,) = json.loads(capsys.readouterr().out)["stale"]
    assert stale["service"] == "planned"
    assert moved[:19] in stale["reasons"][0]
    told = [event.kind for event in platforms.journal().events()]
    assert told == [*kinds, EventKind.BASES_SEEN], "from now on the digest grows old"
    assert run(["rebuild", "nobody", "--plan"]) == Exit.BAD_INPUT


class KilledError(BaseException):
    """As a process ends that nobody asks: no `except Exception` sees it."""


def test_killed_between_a_promotion_and_its_tag_whoever_stands_on_it_is_rebuilt_all_the_same(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = ground.on_base("parent")
    child = ground.on(parent, "child")
    ground.move("second")

    def die(artifact: Artifact) -> str:
        raise KilledError(artifact.digest)

    with monkeypatch.context() as patch:
        patch.setattr(promotion, "tag_promoted", die)
        with pytest.raises(KilledError):
            rebuild()
    assert serving("parent").digest != parent.digest
    assert serving("child").digest == child.digest
    done = rebuild()
    assert done.outcomes == {"parent": Rebuilt.PATCHED, "child": Rebuilt.PATCHED}
    assert base_of(serving("child")) == serving("parent").digest
