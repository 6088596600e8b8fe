"""People have the say, as they type it and as they see it: a freeze, a hotfix and its debts, the stopped line, a newer push.

The tests are one story of one service, in order: an installation takes long to start.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from flows.installation import PartState, state_of
from flows.load import LoadGenerator
from tasks import platforms
from tasks.adapters.prefect_api import FlowRun
from tasks.adapters.process import ProcessFleet
from tasks.journal.events import ReleaseStarted, RolloutStarted, VerdictGiven, Withdrawn, body_of
from tasks.journal.rules import ReleaseState, fold
from tasks.journal.waits import ReleaseWaits, WaitKind
from tasks.model import Environment
from tasks.ports import Event
from tests.e2e.conftest import QUICK, Service, copy_of_example, home_of_its_own
from tests.e2e.operations.installed import PLACE, Installation, up
from tests.e2e.operations.pushing import bare_repository, deliver, push, receiver_of, told_of_pushes
from tests.support.asking import ask
from tests.support.engines import wait_for
from tests.support.images import FILE_SECRET

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(400)]
POLICIES: Final = Path(__file__).parents[3] / "deployments" / "policies"
DONE, STOPPED, REFUSED, NO_ANSWER = 0, 3, 4, 5
SOAK_SECONDS: Final = 12.0
"""Longer than a busy machine takes from the promotion to the gate."""
DAY: Final = 86400.0
RATE: Final = 20.0
AT_ONCE: Final = {"kind": "all-at-once"}
CANARY: Final = {"kind": "canary", "weights": [30], "replicas": 1, "baseline": 0}
LONG: Final = {"minimum_seconds": 300.0, "deadline_seconds": 600.0}


@dataclass(frozen=True)
class Shop:
    """An installation, the policies of whoever owns them, and one service, which a forge has, too."""

    installation: Installation
    policies: Path
    service: Service
    origin: Path

    def typed(self, *words: str | Path, code: int = DONE) -> str:
        """What the command said, which had to end with that code."""
        answer = self.installation.bakewell(*words)
        assert answer.code == code, answer.out + answer.err
        return answer.out if code == DONE else answer.err

    def freeze(self, last: datetime) -> None:
        """For every service in production, through the day of `last`."""
        text = (POLICIES / "default.yaml").read_text()
        days = f"from: {datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}, to: {last:%Y-%m-%d}"
        frozen = f"{text}\nfreezes: [{{{days}, reason: the fair}}]\n"
        (self.policies / f"{PLACE}.yaml").write_text(frozen)

    def thaw(self) -> None:
        shutil.copy(POLICIES / "default.yaml", self.policies / f"{PLACE}.yaml")

    def told(self, release: str = "") -> ReleaseState:
        """That release, or the newest."""
        found = fold(self.events()).releases
        return found[self.service.name, release] if release else list(found.values())[-1]

    def events(self, kind: type = object, release: str = "") -> list[Event]:
        found = self.installation.journal.events(self.service.name)
        return [
            one
            for one in found
            if release in ("", one.release) and (kind is object or isinstance(body_of(one), kind))
        ]

    def bodies(self, kind: type, release: str = "") -> list[Any]:
        return [body_of(one) for one in self.events(kind, release)]

    @property
    def endpoint(self) -> str:
        here = Environment(self.service.name, PLACE, "process")
        return str(ProcessFleet(self.installation.home, platforms.store).read(here).endpoint)

    def serves(self) -> str:
        """The version that users of production meet."""
        return ask(self.endpoint).headers["x-version"]

    def release(self, version: int, **production: Any) -> FlowRun:
        """By a run of the deployment."""
        self.write(version, **production)
        return self.installation.release(self.service)

    def write(self, version: int, **production: Any) -> None:
        """Another version, and other settings of production."""
        self.service.version(version)
        self.service.edit(lambda spec: spec["environments"][-1].update(production))

    def suspended(self, run: FlowRun, kind: WaitKind) -> bool:
        """Does its release wait for that, and no process for it?"""
        waiting = self.told().waiting if self.events(ReleaseStarted) else None
        there = waiting and (waiting.wait.kind, waiting.wait.flow_run) == (kind, run.id)
        return bool(there) and self.installation.run(run.id).state_name == "Suspended"

    def has_ended(self, release: str) -> bool:
        return bool(self.events(ReleaseStarted, release) and self.told(release).outcome)

    def push(self) -> None:
        """What is there now, as somebody pushes it and the forge tells it."""
        commit = push(self.service, self.origin)
        answer = deliver(receiver_of(self.installation.bakewell), self.origin, commit)
        assert answer.status_code == 202, answer.text


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Two environments without a canary, and a short soak between them."""
    folder = tmp_path_factory.mktemp("people")
    shutil.copytree(POLICIES, folder / "policies")
    service, origin = copy_of_example(folder / "work", "shop"), bare_repository(folder)
    service.edit(quick)
    with home_of_its_own() as bakewell:
        here = told_of_pushes(bakewell, origin, folder)
        found = up(here.with_settings(BAKEWELL_POLICIES=str(folder / "policies")))
        yield Shop(found, folder / "policies", service, origin)
        found.api.close()


def quick(spec: Any) -> None:
    spec["on_push"] = "withdraw"
    staging, production = spec["environments"]
    staging["soak_seconds"], production["policy"] = SOAK_SECONDS, PLACE
    for place in (staging, production):
        place.update(replicas=1, strategy=AT_ONCE, warm_seconds=0)


def only_production(spec: Any) -> None:
    spec["environments"] = spec["environments"][1:]


# ---- the story -----------------------------------------------------------------------------------


def test_a_soak_and_a_freeze_hold_no_process_and_end_in_the_same_run_without_a_person(
    shop: Shop,
) -> None:
    """The soak is over by the clock, the freeze because whoever owns the policies lifts it."""
    today = datetime.now(UTC)
    shop.freeze(today)
    run = shop.release(1)
    wait_for(lambda: shop.suspended(run, WaitKind.FREEZE), 90, "a release that waits", 0.3)
    kinds = [one.wait.kind for one in shop.bodies(ReleaseWaits)]
    assert kinds == [WaitKind.SOAK, WaitKind.FREEZE]
    assert {one.wait.flow_run for one in shop.bodies(ReleaseWaits)} == {run.id}
    assert shop.installation.journal.holder("shop", "") is None, "no process goes on with it"
    seen = shop.typed("status")
    midnight = f"{today + timedelta(days=1):%Y-%m-%d} 00:00"
    assert "r1 has waited" in seen
    assert f"for freeze, until {midnight}" in seen
    assert f"to {today:%Y-%m-%d}: the fair" in seen
    shop.thaw()
    assert shop.installation.ended(run) == "Completed"
    assert shop.told("r1").outcome == "promoted in staging, production"
    assert len(shop.events(ReleaseStarted)) == 1, "no other run has taken it on"
    assert shop.serves() == "1"


def test_a_hotfix_goes_through_a_freeze_with_all_its_evidence_and_leaves_debts_to_repay(
    shop: Shop,
) -> None:
    shop.freeze(datetime.now(UTC) + timedelta(days=1))
    shop.write(2)
    shop.service.edit(lambda spec: spec["environments"][0].update(soak_seconds=DAY))
    shop.typed("release", shop.service.folder, "--hotfix", "checkout is down")
    assert shop.serves() == "2"
    digest = shop.told("r2").artifact.digest
    assert "has evidence that holds" in shop.typed("verify", f"shop@{digest}")
    judged = [one.environment for one in shop.events(VerdictGiven, "r2")]
    assert judged == ["staging", "production"], "every instance passed its smoke test"
    seen = shop.typed("status")
    assert "2 debts to repay" in seen
    assert "r2 in production went past soak" in seen
    assert "hotfix: checkout is down" in seen
    debts = {one["barrier"]: one for one in owed(shop)}
    assert debts.keys() == {"soak", "freeze"}
    shop.typed("repay", str(debts["freeze"]["line"]), "--how", "the fair was told", "--by", "ada")
    assert [one["barrier"] for one in owed(shop)] == ["soak"]


def owed(shop: Shop) -> list[dict[str, Any]]:
    places = json.loads(shop.typed("status", "shop", "--json"))
    return [debt for place in places for debt in place["debts"]]


def test_no_hotfix_goes_past_what_its_scan_found(shop: Shop) -> None:
    program = shop.service.folder / "hello.py"
    good = program.read_text()
    program.write_text(f'{good}\nKEY = "{FILE_SECRET}"\n')
    command = ("release", shop.service.folder, "--hotfix", "checkout is down")
    told = shop.typed(*command, code=REFUSED)
    assert "in /app/hello.py: take it out" in told
    assert FILE_SECRET not in told
    assert not shop.events(RolloutStarted, "r3")
    program.write_text(good)
    shop.thaw()


def test_a_stopped_line_takes_back_what_is_in_flight_and_lets_nothing_begin_until_it_goes_again(
    shop: Shop,
) -> None:
    shop.service.edit(only_production)
    shop.write(4, strategy=CANARY, observe={**QUICK, **LONG})
    with LoadGenerator(shop.endpoint, RATE, max_seconds=120) as load:
        release = shop.installation.bakewell.start("release", shop.service.folder)
        wait_for(lambda: shop.installation.canary_is_served(shop.service), 60, "a canary", 0.3)
        said = shop.typed("stop-the-line", "something smells", "--by", "ada")
        assert "The line was stopped by ada" in said
        out, err = release.communicate(timeout=60)
        assert release.returncode == STOPPED, out + err
        assert "the line was stopped by ada" in err
        assert "something smells" in err
        assert shop.bodies(Withdrawn)[-1].verdict is None, "it says nothing about the artifact"
        run = shop.release(5, strategy=AT_ONCE)
        wait_for(lambda: shop.suspended(run, WaitKind.LINE), 60, "a release that waits", 0.3)
        assert not shop.events(RolloutStarted, shop.told().id)
        seen = shop.typed("status")
        assert seen.startswith("The line was stopped by ada")
        assert "something smells" in seen.splitlines()[0]
        assert f"{shop.told().id} has waited" in seen
        assert shop.serves() == "2"
        shop.typed("resume", "it was the fish")
        assert shop.installation.ended(run) == "Completed"
        users = load.stop()
    assert shop.serves() == "5"
    assert users.failures == 0
    assert users.errors == 0


def test_a_newer_push_withdraws_the_rollout_of_the_older_one(shop: Shop) -> None:
    shop.write(6, strategy=CANARY)
    shop.push()
    wait_for(lambda: shop.installation.canary_is_served(shop.service), 90, "a canary", 0.3)
    older = shop.told()
    shop.write(7, strategy=AT_ONCE)
    shop.push()
    newer = f"r{int(older.id[1:]) + 1}"
    wait_for(lambda: shop.has_ended(newer), 90, "the end of the newer one", 0.3)
    assert shop.told(newer).outcome == "promoted in production"
    assert shop.installation.run(older.flow_run).state_name == "Cancelled"
    assert len(shop.events(Withdrawn, older.id)) == 1
    assert shop.serves() == "7"


def test_a_setting_that_breaks_while_it_is_up_is_told_and_stops_nothing(shop: Shop) -> None:
    assert "The installation is well: receiver, worker and keeper" in shop.typed("status")
    file = shop.policies.parent / "repositories.yaml"
    good = file.read_text()
    file.write_text("repositries: []\n")
    wait_for(lambda: "repositries" in keeper(shop).remark, 60, "the keeper's remark", 0.3)
    assert keeper(shop).healthy
    told = shop.installation.bakewell("up", "--status")
    assert told.code == NO_ANSWER
    assert "well, but" in told.out
    assert "not well: the keeper says: " in shop.typed("status")
    file.write_text(good)
    wait_for(lambda: not keeper(shop).remark, 60, "no remark any more", 0.3)


def keeper(shop: Shop) -> PartState:
    state = state_of(shop.installation.home)
    assert state is not None
    return next(one for one in state.parts if one.name == "keeper")
