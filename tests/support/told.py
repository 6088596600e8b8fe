"""A journal in a list, and a story told in it: r1 comes first, r2 is good, r3 is bad."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

from tasks.chain import FIRST, hash_of
from tasks.journal.events import (
    KINDS,
    Body,
    Deployed,
    Promoted,
    ReleaseFinished,
    ReleaseStarted,
    RolloutStarted,
    Sampled,
    StepStarted,
    VerdictGiven,
    Withdrawn,
    written,
)
from tasks.model import (
    Artifact,
    Environment,
    FleetSpec,
    Gate,
    Group,
    InstanceTraffic,
    Judgement,
    LatencyHistogram,
    Role,
    Sample,
    Source,
    Verdict,
)
from tasks.ports import Event
from tasks.rollout.strategies import steps
from tasks.service import Canary, ServiceSpec

BEGIN = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
BOUNDS_MS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0)
SAMPLES = 6
"""Of each observed step."""
QUICK: dict[str, JsonValue] = {
    "interval_seconds": 1,
    "batch_seconds": 1,
    "warm_up_seconds": 0,
    "minimum_seconds": 5,
    "minimum_requests": 50,
    "deadline_seconds": 60,
    "patience_seconds": 10,
    "burst": 1,
}
SPEC = ServiceSpec.model_validate(
    {
        "service": "hello",
        "bake": {"files": {"app": "/app"}, "command": ["python", "/app/hello.py"]},
        "objectives": {"errors": {"objective": 0.99}},
        "environments": [
            {"name": name, "platform": "process", "observe": QUICK}
            for name in ("staging", "production")
        ],
    }
)


def artifact(number: int) -> Artifact:
    return Artifact("hello", "sha256:" + f"{number:x}" * 64, "layout:artifacts/hello")


def source(number: int, dirty: bool = False) -> Source:
    return Source("https://git.example.org/hello", f"{number:x}" * 40, dirty)


@dataclass
class Told:
    """Events with a clock that goes on only when `wait` is called."""

    now: datetime = BEGIN
    events: list[Event] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def tell(
        self, release: str, body: Body, environment: str = "", service: str = "hello"
    ) -> Event:
        previous = self.events[-1].hash if self.events else FIRST
        kind, plain = str(KINDS[type(body)]), written(body)
        place = len(self.events) + 1
        event = Event(place, self.now, kind, service, environment, release, plain, 1, previous, "")
        self.events.append(replace(event, hash=hash_of(event)))
        return self.events[-1]

    def start(self, number: int, dirty: bool = False) -> str:
        body = ReleaseStarted(source(number, dirty), SPEC, artifact(number), False)
        self.tell(f"r{number}", body)
        self.wait(1.2)
        return f"r{number}"

    def roll_out(
        self,
        number: int,
        environment: str,
        stable: int | None = None,
        share: float = 0.0,
        rate: int = 100,
        until: int | None = None,
    ) -> None:
        """Take the steps of a canary. The new release fails with probability `share`, and is then withdrawn after
        `until` samples of its first observed step."""
        release = f"r{number}"
        place = Environment("hello", environment, "process", 8080)
        serving = stable and Group(f"r{stable}", artifact(stable), 2, 100, Role.STABLE)
        self.tell(release, RolloutStarted(place, artifact(number), 2, ""), environment)
        for index, step in enumerate(
            steps(Canary(), serving or None, artifact(number), release, 2)
        ):
            self.tell(release, StepStarted(index, step), environment)
            self.wait(0.8)
            if step.gate is Gate.SMOKE:
                passed = Judgement(Verdict.PROMOTE, "1 fresh instances passed the smoke test /")
                self.tell(release, VerdictGiven(passed), environment)
            if step.gate is not Gate.OBSERVE:
                continue
            counts = [0, 0]
            for _ in range(until or SAMPLES):
                self.wait(1)
                for one in self.sample(release, environment, step.spec, rate, {release: share}):
                    if one.group == release:
                        counts = [counts[0] + one.requests, counts[1] + one.failures]
            if until:
                self.stop(release, environment, counts)
                return
            self.judge(release, environment, counts, Verdict.PROMOTE)
        warm = self.now + timedelta(minutes=10) if stable else None
        self.tell(
            release, Promoted(Deployed(release, artifact(number), 2, self.now), warm), environment
        )

    def sample(
        self,
        release: str,
        environment: str,
        spec: FleetSpec,
        rate: float,
        failing: Mapping[str, float],
    ) -> tuple[InstanceTraffic, ...]:
        """One second; the groups of `failing` fail with these probabilities."""
        found = tuple(
            self.answered(group, number, rate, failing.get(group.name, 0))
            for group in spec.groups
            for number in range(1, group.replicas + 1)
        )
        self.tell(release, Sampled(Sample(self.now, 1.0, found)), environment)
        return found

    def answered(self, group: Group, number: int, rate: float, share: float) -> InstanceTraffic:
        """One instance has its part of its group's traffic, a tenth more or less."""
        fair = rate * group.weight / 100 / group.replicas
        requests = round(fair * self.chance.uniform(0.9, 1.1))
        bad = sum(self.chance.random() < share for _ in range(requests))
        fast, slow = round(requests * 0.6), requests // 20
        counts = (0, fast, requests - fast - slow, slow, 0, 0, 0)
        histogram = LatencyHistogram(BOUNDS_MS, counts)
        return InstanceTraffic(group.name, f"{group.name}-{number}", requests, bad, histogram)

    def judge(self, release: str, environment: str, counts: list[int], verdict: Verdict) -> str:
        requests, failures = counts
        reason = f"{failures} of {requests} requests failed ({failures / max(1, requests):.2%}, 1.00% allowed)"
        numbers: dict[str, JsonValue] = {
            "requests": requests,
            "failures": failures,
            "failure_share": failures / max(1, requests),
            "failure_share_allowed": 0.01,
            "peers_requests": 900,
            "peers_failures": 0,
            "p50_ms": 5.0,
            "p99_ms": 25.0,
            "looks": 6,
        }
        self.tell(release, VerdictGiven(Judgement(verdict, reason, numbers)), environment)
        return reason

    def stop(self, release: str, environment: str, counts: list[int]) -> None:
        reason = self.judge(release, environment, counts, Verdict.ROLL_BACK)
        self.tell(release, Withdrawn(Verdict.ROLL_BACK, reason), environment)
        self.wait(0.5)
        outcome = f"stopped: hello {release} in {environment}: roll back: {reason}"
        self.tell(release, ReleaseFinished(outcome))


def three_releases() -> Told:
    """r1 came first, r2 was promoted in both environments, r3 was rolled back in production."""
    told = Told()
    told.start(1)
    told.roll_out(1, "staging")
    told.roll_out(1, "production")
    told.tell("r1", ReleaseFinished("promoted in staging, production"))
    told.wait(3600)
    told.start(2)
    told.roll_out(2, "staging", 1)
    told.roll_out(2, "production", 1)
    told.tell("r2", ReleaseFinished("promoted in staging, production"))
    told.wait(7200)
    told.start(3, dirty=True)
    told.roll_out(3, "staging", 2)
    told.roll_out(3, "production", 2, share=0.21, until=7, rate=260)
    return told
