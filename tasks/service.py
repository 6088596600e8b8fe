"""`service.yaml`: what one service is, and how it is baked, judged and rolled out. Pure, validated, published as JSON Schema.

Descriptions are shown by editors (deployments/services/service.schema.json) and in the messages about mistakes.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from enum import StrEnum
from itertools import takewhile
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, field_validator

from tasks.containers import ContainerSpec
from tasks.model import Environment
from tasks.pushes import OnPush
from tasks.recipes import HOST, NAME, Recipe
from tasks.settings import MOVED, Contradiction, Name, shown_address
from tasks.settings import Part as _Part
from tasks.sources import PrometheusSource, Sli, doubtful_names
from tasks.windows import ChangeWindows, Freeze

Share = Annotated[float, Field(gt=0, lt=1)]
REPOSITORY: Final = re.compile(rf"{HOST}{NAME}|layout:/[^@]+|memory:[^@]+")


class PlatformName(StrEnum):
    """What can run instances today."""

    PROCESS = "process"
    DOCKER = "docker"
    MEMORY = "memory"


class Smoke(_Part):
    """One request that a fresh instance must answer before it may take traffic."""

    path: str = Field("/", pattern="^/", description="what is asked of each fresh instance")
    status: int = Field(200, ge=100, le=599, description="status that it must answer")
    contains: str = Field("", description="text that the answer must contain")
    timeout_seconds: float = Field(5, gt=0, le=120, description="for the whole answer")


class ErrorObjective(_Part):
    """At least this share of requests must not fail (5xx)."""

    objective: Share = Field(0.999, description="share of requests without failure, 0.999 = 99.9 %")
    window_days: float = Field(
        30, ge=1, le=366, description="the failures allowed in so many days are the error budget"
    )
    reserve: float = Field(
        0.1, ge=0, le=1, description="no rollout starts when only this share of the budget is left"
    )


class LatencyObjective(_Part):
    """At least `objective` of the requests must be answered within `threshold_ms`."""

    threshold_ms: float = Field(
        ge=1, le=600_000, description="milliseconds; best a bound of the platform's histogram"
    )
    objective: Share = Field(0.99, description="share of requests that are fast enough")


class Objectives(_Part):
    """What users may expect (SLOs)."""

    errors: ErrorObjective = Field(ErrorObjective(), description="how many requests may fail")
    latency: LatencyObjective | None = Field(None, description="how many requests may be slow")


class Canary(_Part):
    """A growing share of the traffic, observed at each step."""

    kind: Literal["canary"] = Field("canary", description="a growing share, observed at each step")
    weights: tuple[Annotated[int, Field(ge=1, le=99)], ...] = Field(
        (10, 20),
        min_length=1,
        description="percent, growing; up to 99 / (1 + baseline / replicas) the canary has peers of its own load",
    )
    replicas: int = Field(1, ge=1, le=1000, description="canary instances until promotion")
    baseline: int = Field(
        3,
        ge=0,
        le=100,
        description="fresh instances of the stable artifact beside the canary, as its peers",
    )

    def _contradictions(self) -> Iterator[Contradiction]:
        if list(self.weights) != sorted(set(self.weights)):
            yield ("weights",), f"found {list(self.weights)}; they must grow from step to step"


class BlueGreen(_Part):
    """A whole second group, tested without traffic, then all traffic at once; the old one stays warm."""

    kind: Literal["blue-green"] = Field(
        "blue-green", description="a whole second group, then all traffic"
    )


class AllAtOnce(_Part):
    """Replace everything, one group for the other, as soon as the new one is ready."""

    kind: Literal["all-at-once"] = Field(
        "all-at-once", description="replace everything, unobserved"
    )


Strategy = Annotated[Canary | BlueGreen | AllAtOnce, Field(discriminator="kind")]


class Observe(_Part):
    """How long to look, and how much must be seen, at each observed step."""

    interval_seconds: float = Field(10, ge=0.2, le=600, description="between two samples")
    minimum_requests: int = Field(
        100, ge=1, description="the canary must have answered before it can be judged good"
    )
    minimum_seconds: float = Field(
        60, ge=0, description="soak: at least this long before promotion"
    )
    deadline_seconds: float = Field(
        1800, gt=0, description="then the canary is withdrawn as inconclusive"
    )
    patience_seconds: float = Field(
        120, gt=0, description="unreadable metrics for this long withdraw it, too"
    )
    batch_seconds: float = Field(
        10,
        gt=0,
        le=600,
        description="what is compared at once; bursts up to this long are forgiven",
    )
    warm_up_seconds: float = Field(
        10, ge=0, le=3600, description="fresh instances are not compared before"
    )
    margin: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share of requests by which it may be worse and still be promoted;"
        " default: half of the error budget, at least 0.0025",
    )
    burst: float | None = Field(
        None,
        ge=1,
        le=1000,
        description="errors that come at a time; default: as `bakewell judge placebo` measured, else 10",
    )
    watch_seconds: float | None = Field(
        None,
        ge=0,
        le=86400,
        description="after promotion: a regression goes back by itself; default: as long as the previous group is"
        " warm, where it was observed before",
    )

    @property
    def hurried(self) -> "Observe":
        """Without a minimum time: as a release past the barrier `observation` is judged."""
        return self.model_copy(update={"minimum_seconds": 0.0})

    def _contradictions(self) -> Iterator[Contradiction]:
        deadline, interval = self.deadline_seconds, self.interval_seconds
        if self.minimum_seconds > deadline:
            yield (
                ("minimum_seconds",),
                (
                    f"found {self.minimum_seconds:g}, longer than deadline_seconds ({deadline:g}):"
                    " nothing could ever be promoted"
                ),
            )
        if interval > deadline:
            yield (
                ("interval_seconds",),
                f"found {interval:g}, longer than deadline_seconds ({deadline:g}): nothing would be seen",
            )
        if interval > self.patience_seconds:
            yield (
                ("patience_seconds",),
                (
                    f"found {self.patience_seconds:g}, shorter than interval_seconds ({interval:g}):"
                    " one missed reading would withdraw the canary"
                ),
            )


class EnvironmentSpec(_Part):
    """One environment; the release passes them in order."""

    name: Name = Field(description="what people call it: staging, production")
    platform: PlatformName = Field(description="what runs its instances")
    replicas: int = Field(2, ge=1, le=1000, description="instances that serve")
    listen_port: int = Field(
        0, ge=0, le=65535, description="where users send requests; 0 = chosen once, then kept"
    )
    strategy: Strategy = Field(Canary(), description="how a new artifact takes over the traffic")
    observe: Observe = Field(Observe(), description="how long to look, and how much must be seen")
    ready_seconds: float = Field(60, gt=0, le=3600, description="from start to ready")
    warm_seconds: float = Field(
        600, ge=0, description="the previous group stays ready for this long after promotion"
    )
    soak_seconds: float = Field(
        0,
        ge=0,
        le=90 * 86400,
        description="promoted and in use here for at least this long, before the release goes on to the next",
    )
    wave: Name | None = Field(
        None,
        description="neighbours of the same wave (regions) are rolled out at the same time; waves follow each other",
    )
    needs_approval: bool = Field(
        False, description="wait for `bakewell approve` before the rollout"
    )
    approval_seconds: float = Field(
        3600, gt=0, description="without an approval the rollout ends untouched"
    )
    windows: ChangeWindows | None = Field(
        None, description="when a release may enter; outside it waits. Roll-backs never do"
    )
    freezes: tuple[Freeze, ...] = Field(
        (), description="days on which no release enters; it waits. Roll-backs never do"
    )
    policy: Name | None = Field(None, description="default: the service's `policy`")
    container: ContainerSpec | None = Field(
        None, description="what each container may use, on platform docker; default: as shown"
    )
    metrics: PrometheusSource | None = Field(
        None, description="who counts its requests; default: the platform's own splitter"
    )

    @property
    def watched_seconds(self) -> float:
        """After promotion. What was not observed before is not watched unless service.yaml says so."""
        if self.observe.watch_seconds is not None:
            return self.observe.watch_seconds
        return 0.0 if isinstance(self.strategy, AllAtOnce) else self.warm_seconds

    def _contradictions(self) -> Iterator[Contradiction]:
        if self.container and self.platform is not PlatformName.DOCKER:
            yield (
                ("container",),
                f"platform {self.platform} would not keep these limits; remove them, or choose docker",
            )
        if not isinstance(canary := self.strategy, Canary):
            return
        if canary.replicas > self.replicas:
            yield (
                ("strategy", "replicas"),
                (
                    f"found {canary.replicas} canary instances, more than the {self.replicas} that shall serve in"
                    " the end: promotion never takes instances away"
                ),
            )
        first = canary.weights[0]
        if (fair := first * (1 + canary.baseline / canary.replicas)) > 99:
            yield (
                ("strategy", "baseline"),
                (
                    f"canary and baseline would need {fair:.0f} % of the traffic at the first step ({first} %), if each"
                    f" of the {canary.baseline} baseline instances is to have the load of a canary instance"
                ),
            )


class OnBadWave(StrEnum):
    """What becomes of the environments of a wave that were promoted, when another one of it was not."""

    KEEP = "keep"
    ROLL_BACK = "roll back"


class ServiceSpec(_Part):
    """The whole of `service.yaml`."""

    model_config = ConfigDict(
        json_schema_extra={
            MOVED: {
                "scan": "what may be known to be wrong is a policy's to say; name one by `policy:` (deployments/policies)"
            }
        }
    )

    service: Name = Field(description="its name")
    repository: str | None = Field(
        None,
        description="`host[:port]/name` of an OCI registry; default: the embedded OCI layout",
    )
    bake: Recipe = Field(description="how the artifact is made; `dockerfile` in it: by Docker")
    smoke: Smoke = Field(Smoke(), description="a request that fresh instances must answer")
    objectives: Objectives = Field(Objectives(), description="what users may expect (SLOs)")
    policy: Name = Field(
        "default",
        description="which of deployments/policies says what must be proved and what may be known to be wrong with it",
    )
    slis: tuple[Sli, ...] = Field(
        (), description="what else a canary is judged by, where the environment has `metrics`"
    )
    on_push: OnPush = Field(
        OnPush.FINISH,
        description="a newer push arrives while a release is under way: that one is finished first, or withdrawn",
    )
    environments: tuple[EnvironmentSpec, ...] = Field(
        min_length=1, description="where it runs, in the order in which a release passes them"
    )
    on_bad_wave: OnBadWave = Field(
        OnBadWave.KEEP,
        description="if one environment of a wave refuses the release: keep it where it was promoted, or roll the wave back",
    )

    @field_validator("repository")
    @classmethod
    def _in_a_registry(cls, value: str | None) -> str | None:
        if value is not None and not REPOSITORY.fullmatch(value):
            raise ValueError(
                f"found {shown_address(value)}; allowed: `host[:port]/name` in small letters, without scheme, tag or digest;"
                " or `layout:/absolute/folder`"
            )
        return value

    def _contradictions(self) -> Iterator[Contradiction]:
        names, ports = set[str](), defaultdict[PlatformName, set[int]](set)
        for number, one in enumerate(self.environments):
            if one.name in names:
                yield (
                    ("environments", number, "name"),
                    f"{one.name!r} is the name of another environment already",
                )
            if one.listen_port and one.listen_port in ports[one.platform]:
                yield (
                    ("environments", number, "listen_port"),
                    f"another environment listens on {one.listen_port} already; 0 chooses a free one",
                )
            names.add(one.name)
            ports[one.platform].add(one.listen_port)
        yield from self._torn_waves()
        if self.slis and not any(one.metrics for one in self.environments):
            yield ("slis",), "they are asked of Prometheus, but no environment has `metrics`"
        yield from doubtful_names(self.slis)

    def _torn_waves(self) -> Iterator[Contradiction]:
        seen = set[str]()
        for number, one in enumerate(self.environments):
            before = self.environments[number - 1].wave if number else None
            if one.wave and one.wave in seen and one.wave != before:
                yield (
                    ("environments", number, "wave"),
                    f"another wave stands between this environment and the others of {one.wave!r}; bring them together",
                )
            seen.add(one.wave or "")

    @property
    def waves(self) -> tuple[tuple[EnvironmentSpec, ...], ...]:
        """The environments in the order in which a release passes them; those of a wave at the same time."""
        found: list[list[EnvironmentSpec]] = []
        for one in self.environments:
            if found and one.wave and found[-1][-1].wave == one.wave:
                found[-1].append(one)
            else:
                found.append([one])
        return tuple(map(tuple, found))

    def before(self, environment: str) -> tuple[EnvironmentSpec, ...]:
        """The environments of earlier waves: those that a release has to have passed."""
        earlier = takewhile(lambda wave: all(one.name != environment for one in wave), self.waves)
        return tuple(one for wave in earlier for one in wave)

    def environment(self, name: str) -> Environment | None:
        """The place of that name, or None."""
        if (spec := self.environment_spec(name)) is None:
            return None
        return self.place(spec)

    def place(self, spec: EnvironmentSpec) -> Environment:
        """The place that one of `environments` describes."""
        container = (spec.container or ContainerSpec()).limits
        return Environment(
            *(self.service, spec.name, spec.platform.value, spec.listen_port, spec.ready_seconds),
            container=container,
        )

    def slis_of(self, spec: EnvironmentSpec) -> tuple[Sli, ...]:
        """What else is judged there: custom SLIs come from the environment's Prometheus."""
        return self.slis if spec.metrics else ()

    def policy_of(self, environment: str) -> str:
        """The name of the policy that holds in one of its environments, or for the service where it has no such one."""
        spec = self.environment_spec(environment)
        return (spec.policy if spec else None) or self.policy

    def environment_spec(self, name: str) -> EnvironmentSpec | None:
        return next((spec for spec in self.environments if spec.name == name), None)
