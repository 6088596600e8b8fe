"""What merely died is there again without a person; what somebody meant is left alone. In memory: no process, no Prefect."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from flows import mending
from flows.line import stop
from flows.mending import mend
from flows.quarantining import add, target_of
from flows.retirement import take_down
from flows.tenure import MENDING, Tenure, tenure, tenure_after_chores
from tasks import platforms
from tasks.adapters.layout import LayoutStore
from tasks.adapters.memory import MemoryScanner, World, world_named
from tasks.adapters.memory_traffic import Behaviour
from tasks.errors import InvalidInputError, LeaseHeldError
from tasks.inspection import DriftKind
from tasks.journal.rules import DriftFound, EventKind, body_of
from tasks.model import Artifact, Environment, FleetStatus, Health
from tests.support.evidence import cheap_keys
from tests.support.standing import TAG, base_image, stand, write_service


@dataclass(frozen=True)
class Patient:
    """A service with two instances that are well."""

    name: str
    world: World
    artifact: Artifact

    @property
    def place(self) -> Environment:
        return Environment(self.name, "production", "memory")

    @property
    def status(self) -> FleetStatus:
        return self.world.fleet.read(self.place)

    @property
    def ready(self) -> int:
        return sum(group.ready for group in self.status.groups)

    def loses(self, count: int, health: Health = Health.DEAD) -> None:
        (group,) = self.status.groups
        for one in [one for one in group.instances if one.health is Health.READY][:count]:
            self.world.set_health(self.place, one.name, health)

    def loses_everything(self) -> None:
        """As a machine that was rebooted: only that there was a group is known."""
        groups = (replace(one, instances=(), weight=0) for one in self.status.groups)
        self.world.set_status(self.place, FleetStatus(tuple(groups)))

    def kinds(self) -> list[str]:
        return [one.kind for one in platforms.journal().events(self.name)]


@pytest.fixture
def patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Patient]:
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(mending, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(mending, "LOOKING_SHARE", 1e9)
    world = world_named(str(platforms.home()))
    monkeypatch.setattr(platforms, "scanner", lambda say=None: MemoryScanner(world))
    store = LayoutStore(tmp_path / "base")
    base_image(store, "first")
    with cheap_keys():
        base = f"{store.repository}:{TAG}@{store.resolve(TAG)}"
        made = stand(write_service(tmp_path / "frail", "frail", base, replicas=2))
        yield Patient("frail", world, made)


def test_nothing_is_said_of_who_is_well(patient: Patient) -> None:
    lines = len(patient.kinds())
    assert list(mend()) == []
    assert len(patient.kinds()) == lines


def test_after_a_reboot_users_are_served_again_and_the_journal_says_why(patient: Patient) -> None:
    patient.loses_everything()
    (line,) = mend()
    assert line.startswith("frail production: what died was replaced: r1: instances are missing")
    assert (patient.ready, patient.status.groups[0].weight) == (2, 100)
    told = [EventKind.DRIFT_FOUND, EventKind.HEALED, EventKind.DRIFT_FOUND]
    assert patient.kinds()[-3:] == told
    assert list(mend()) == []


def test_one_that_died_is_replaced_and_the_other_left_in_peace(patient: Patient) -> None:
    patient.loses(1)
    (survivor,) = [one for one in patient.status.groups[0].instances if one.health is Health.READY]
    assert len(list(mend())) == 1
    assert patient.ready == 2
    assert survivor in patient.status.groups[0].instances


def test_who_hangs_and_who_is_forged_is_left_to_people(patient: Patient) -> None:
    patient.loses(1, Health.UNREADY)
    patient.world.tamper(
        patient.place, "r1", replace(patient.artifact, digest="sha256:" + "f" * 64)
    )
    assert list(mend()) == []


def test_what_was_taken_down_stays_down(patient: Patient) -> None:
    list(take_down("frail", None, everything=False))
    assert list(mend()) == []
    assert patient.status.groups == ()


def test_whoever_changes_it_is_left_in_peace(patient: Patient) -> None:
    patient.loses_everything()
    with tenure(platforms.journal(), "frail", "production", "somebody"):
        assert list(mend()) == []
    assert len(list(mend())) == 1


def test_a_person_waits_for_the_mending_and_for_nobody_else(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.tenure.CHORE_SECONDS", 0.3)
    mended = tenure(platforms.journal(), "frail", "production", MENDING)
    with mended, pytest.raises(LeaseHeldError), _down():
        pytest.fail("two would change it")
    with _down(), pytest.raises(LeaseHeldError), _down():
        pytest.fail("two would change it")


def _down() -> AbstractContextManager[Tenure]:
    return tenure_after_chores(platforms.journal(), "frail", "production", "down")


def test_a_stopped_line_stops_no_mending(patient: Patient) -> None:
    stop("something is wrong")
    patient.loses(2)
    assert len(list(mend())) == 1


def test_what_may_not_start_any_more_is_not_started_and_the_journal_says_why(
    patient: Patient,
) -> None:
    add(target_of(patient.artifact.digest, "", ""), "leaks", None)
    patient.loses_everything()
    assert list(mend()) == []
    assert patient.ready == 0
    body = body_of(platforms.journal().events("frail")[-1])
    assert isinstance(body, DriftFound)
    assert {one.kind for one in body.drift} == {DriftKind.MISSING, DriftKind.SPLITTER_GONE}
    assert "it could not be replaced" in body.drift[0].advice


def test_what_cannot_start_is_tried_again_later_and_later(patient: Patient) -> None:
    patient.loses_everything()
    patient.world.behaviours[patient.artifact.digest] = Behaviour(becomes_ready=False)
    assert list(mend()) == []
    patient.world.behaviours.clear()
    assert list(mend()) == [], "it is given time"
    time_passes()
    assert len(list(mend())) == 1


def time_passes() -> None:
    mending.memory_of_this_home().next_try.clear()


def test_who_dies_again_and_again_is_left_alone_while_others_serve(patient: Patient) -> None:
    for _ in range(3):
        patient.loses(1)
        assert len(list(mend())) == 1
        time_passes()
    patient.loses(1)
    assert list(mend()) == []
    assert EventKind.DRIFT_LEFT in patient.kinds()
    patient.loses(1)
    assert len(list(mend())) == 1, "now nobody would be served"


def test_it_can_be_switched_off_and_a_word_that_is_neither_is_refused(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient.loses_everything()
    monkeypatch.setenv("BAKEWELL_MENDING", "off")
    assert list(mend()) == []
    monkeypatch.setenv("BAKEWELL_MENDING", "maybe")
    with pytest.raises(InvalidInputError, match="maybe"):
        list(mend())
    monkeypatch.setenv("BAKEWELL_MENDING", "on")
    assert len(list(mend())) == 1
