"""A stopped line, freezes, windows, the hotfix lane and its debts, by real flows. Each test has a home of its own: a stop
holds everywhere."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows import command, entry, line
from flows.debts import repay, standing
from flows.heal import heal
from flows.rollback import rollback
from flows.stopped import StoppedError
from flows.tenure import tenure
from tasks import platforms
from tasks.adapters.memory_traffic import Behaviour
from tasks.errors import InvalidInputError, NotAdmittedError, NotFoundError
from tasks.journal.events import Bypassed, Promoted, RolloutStarted, StepStarted, Withdrawn
from tasks.journal.rules import record
from tasks.journal.waits import ReleaseWaits, Wait, WaitEnded, WaitKind
from tasks.lanes import Barrier, Bypass, LaneKind
from tasks.model import Gate, Verdict
from tests.flows.scene import QUICK, Scene

SATURDAY = datetime(2026, 3, 7, 12, tzinfo=UTC)
MONDAY = datetime(2026, 3, 9, 12, tzinfo=UTC)
OFFICE = {"timezone": "UTC", "open": [{"days": ["mon..fri"], "from": "09:00", "to": "16:00"}]}
FROZEN = [{"from": "2026-03-01", "to": "2026-03-31", "reason": "the fair"}]
HOTFIX: dict[str, Any] = {"lane": LaneKind.HOTFIX, "reason": "checkout is down"}
LINE = Bypass(Barrier.LINE, "this mends why it is stopped")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path / "home"))


@pytest.fixture(autouse=True)
def on_saturday(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "clock", lambda: SATURDAY)


@contextmanager
def meanwhile(found: Callable[[], bool], then: Callable[[], object]) -> Iterator[None]:
    """As soon as `found`, do it, beside what the test does."""

    def watch() -> None:
        end = time.monotonic() + 30
        while not found() and time.monotonic() < end:
            time.sleep(0.05)
        then()

    beside = threading.Thread(target=watch)
    beside.start()
    yield
    beside.join()


def waits_for(scene: Scene, kind: WaitKind) -> bool:
    return any(one.wait.kind is kind for one in scene.told(ReleaseWaits))


def typed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert command.run(words) == 0
    return capsys.readouterr().out


def test_while_the_line_is_stopped_nothing_begins_and_then_it_goes_on(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.release()
    scene.write("2")
    assert "The line was stopped by ada" in typed(
        capsys, "stop-the-line", "the database moves", "--by", "ada"
    )
    began = len(scene.told(RolloutStarted))
    seen: list[str] = []

    def go_on() -> None:
        seen.append(typed(capsys, "status", scene.name))
        assert len(scene.told(RolloutStarted)) == began
        typed(capsys, "resume", "it has moved")

    with meanwhile(lambda: waits_for(scene, WaitKind.LINE), go_on):
        assert scene.release().outcome == "promoted in production"
    assert seen[0].startswith("The line was stopped by ada")
    assert scene.told(WaitEnded)[-1].how == "the line goes again"
    assert scene.weights()["r2"] == 100
    with pytest.raises(NotFoundError, match="not stopped"):
        line.resume("again")


def test_a_rollout_in_flight_is_withdrawn_and_going_back_stays_possible(scene: Scene) -> None:
    scene.release()
    scene.write("2")
    scene.release()
    scene.edit(observe={**QUICK, "minimum_seconds": 15.0})
    scene.write("3")

    def observed() -> bool:
        return any(
            one.step.gate is Gate.OBSERVE and one.step.spec.group("r3")
            for one in scene.told(StepStarted)
        )

    with (
        meanwhile(observed, lambda: line.stop("something smells", "ada")),
        pytest.raises(StoppedError, match=r"stopped by ada.*something smells"),
    ):
        scene.release()
    assert scene.told(Withdrawn)[-1].verdict is None, "it says nothing about the artifact"
    assert scene.weights()["r2"] == 100
    assert list(heal(scene.name)), "repairs go on"
    assert rollback(scene.name, "production", "to be sure").release == "r1"


def test_past_the_stopped_line_goes_only_who_says_so_by_name(scene: Scene) -> None:
    scene.release()
    line.stop("something smells", "ada")
    scene.write("2")
    with meanwhile(
        lambda: waits_for(scene, WaitKind.LINE), lambda: line.resume("it was the hotfix's turn")
    ):
        scene.release(**HOTFIX)
    line.stop("it smells again", "ada")
    scene.write("3")
    assert scene.release(bypasses=(LINE,), by="bob").outcome == "promoted in production"
    (debt,) = [one for one in standing(scene.name) if one.barrier == "line"]
    assert (debt.release, debt.by, debt.reason) == ("r3", "bob", LINE.reason)
    assert "it smells again" in debt.found


def test_outside_its_window_a_release_waits_until_it_opens(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.edit(windows=OFFICE)
    with meanwhile(
        lambda: waits_for(scene, WaitKind.WINDOW),
        lambda: monkeypatch.setattr(entry, "clock", lambda: MONDAY),
    ):
        scene.release()
    (waited,) = scene.told(ReleaseWaits)
    assert waited.wait.until == datetime(2026, 3, 9, 9, tzinfo=UTC)
    assert "mon..fri 09:00 to 16:00 (UTC)" in waited.wait.reason
    assert scene.told(WaitEnded)[-1].how == "the window is open"
    assert len(scene.told(Promoted)) == 1
    assert scene.told(Bypassed) == []


def test_a_plan_says_what_the_release_would_wait_for_and_until_when(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime.now(UTC)
    tomorrow = {"days": [f"{now + timedelta(days=1):%a}".lower()], "from": "09:00", "to": "16:00"}
    freeze = {"from": f"{now:%Y-%m-%d}", "to": f"{now:%Y-%m-%d}", "reason": "the fair"}
    scene.edit(
        needs_approval=True, freezes=[freeze], windows={"timezone": "UTC", "open": [tomorrow]}
    )
    line.stop("the database moves", "ada")
    told = typed(capsys, "plan", str(scene.folder))
    wanted = (
        r"1\. wait for an approval.*2\. wait for stopped line: .*ada.*: the database moves.*`bakewell resume REASON`.*"
        rf"3\. wait for freeze, until {now + timedelta(days=1):%Y-%m-%d} 00:00.* UTC: frozen .*: the fair.*"
        rf"4\. wait for change window, until {now + timedelta(days=1):%Y-%m-%d} 09:00.* UTC: open only .*5\. "
    )
    assert re.search(wanted, told, re.DOTALL), told
    assert not platforms.journal().events(scene.name), "a plan changes nothing"


def test_a_hotfix_skips_freeze_window_and_minimum_time_and_owes_them(
    scene: Scene, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.release()
    slow = {**QUICK, "minimum_seconds": 15.0}
    scene.edit(windows=OFFICE, freezes=FROZEN, observe=slow)
    scene.write("2")
    began = time.monotonic()
    scene.release(**HOTFIX)
    assert time.monotonic() - began < 14, "it was not observed for the minimum time"
    owed = standing(scene.name)
    assert [one.barrier for one in owed] == ["freeze", "window", "observation"]
    assert {one.reason for one in owed} == {"hotfix: checkout is down"}
    told = typed(capsys, "status", scene.name)
    assert "3 debts to repay" in told
    assert "went past freeze (frozen 2026-03-01 to 2026-03-31: the fair)" in told
    (here,) = json.loads(typed(capsys, "status", scene.name, "--json"))
    assert [one["barrier"] for one in here["debts"]] == ["freeze", "window", "observation"]
    typed(capsys, "repay", str(owed[0].line), "--how", "the fair was told of it")
    monkeypatch.setattr(entry, "clock", lambda: MONDAY)
    scene.edit(freezes=[], observe=QUICK)
    scene.write("3")
    scene.release()
    assert standing(scene.name) == (), "a release that came the whole way repays the rest"
    with pytest.raises(NotFoundError, match="debts that stand: none"):
        repay(owed[0].line, "again")


def test_a_hotfix_goes_past_soak_and_where_the_policy_allows_approval(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Staging and production, a day of soak between them and somebody to approve."""
    (tmp_path / "default.yaml").write_text("bypass: [soak, approval]\n")
    monkeypatch.setenv("BAKEWELL_POLICIES", str(tmp_path))
    path, yaml = scene.folder / "service.yaml", YAML()
    spec = yaml.load(path.read_text())
    production = spec["environments"][0]
    staging = {**production, "name": "staging", "soak_seconds": 86400}
    spec["environments"] = [staging, {**production, "needs_approval": True}]
    yaml.dump(spec, path)
    scene.release(**HOTFIX)
    assert scene.weights() == {"r1": 100}
    owed = [(one.environment, one.barrier) for one in standing(scene.name)]
    assert owed == [("production", "soak"), ("production", "approval")]
    assert scene.told(ReleaseWaits) == []


def test_a_run_that_is_woken_says_that_its_wait_is_over(scene: Scene) -> None:
    """It was suspended outside the window, and begins from the top inside it."""
    scene.release()
    waited = Wait(WaitKind.WINDOW, "open only on weekdays", SATURDAY, "run")
    record(platforms.journal(), scene.name, "production", "r1", ReleaseWaits(waited))
    with tenure(platforms.journal(), scene.name, "", "release") as held:
        told = held.state().releases[scene.name, "r1"]
        assert told.waiting is not None
        judgement = entry.may_enter(held, told, told.spec.environments[0])
        assert held.state().releases[scene.name, "r1"].waiting is None
    assert judgement.verdict is Verdict.PROMOTE
    assert scene.told(WaitEnded)[-1] == WaitEnded(WaitKind.WINDOW, "the window is open")


def test_no_hotfix_goes_past_a_bad_verdict_or_missing_evidence(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.release()
    page = {"/": (200, "This is version x")}
    scene.write("2", Behaviour(failure_share=0.3, pages=page))
    with pytest.raises(StoppedError) as stopped:
        scene.release(**HOTFIX)
    assert stopped.value.judgement.verdict is Verdict.ROLL_BACK
    assert scene.weights() == {"r1": 100}
    typed_by = ("quarantine", str(scene.write("3").digest), "--reason", "stolen key")
    assert command.run(typed_by) == 0
    with pytest.raises(NotAdmittedError, match="quarantined"):
        scene.release(**HOTFIX)
    assert scene.weights() == {"r1": 100}


def test_what_the_policy_lets_nobody_pass_is_refused_or_waited_for(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = "freezes: [{from: 2026-03-01, to: 2026-03-31, reason: the fair}]"
    (tmp_path / "default.yaml").write_text(f"bypass: [window]\n{frozen}\n")
    monkeypatch.setenv("BAKEWELL_POLICIES", str(tmp_path))
    with pytest.raises(NotAdmittedError, match=r"policy default lets nobody.*allows: window"):
        scene.release(bypasses=(LINE,))
    assert not platforms.journal().events(scene.name), "nothing was changed"
    scene.edit(windows=OFFICE)
    with meanwhile(
        lambda: waits_for(scene, WaitKind.FREEZE),
        lambda: monkeypatch.setattr(entry, "clock", lambda: datetime(2026, 4, 4, tzinfo=UTC)),
    ):
        scene.release(**HOTFIX)
    assert [one.gate for one in scene.told(Bypassed)] == ["window"]


def test_what_has_no_reason_is_refused_before_anything_happens(scene: Scene) -> None:
    with pytest.raises(InvalidInputError, match="without a reason"):
        scene.release(lane=LaneKind.HOTFIX)
    with pytest.raises(InvalidInputError, match="without a reason"):
        line.stop("  ")
    assert command.run(["release", str(scene.folder), "--bypass", "judge=hurry"]) == 2
    assert command.run(["release", str(scene.folder), "--bypass", "window"]) == 2
    assert not platforms.journal().events()
