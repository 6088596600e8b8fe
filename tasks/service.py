"""`service.yaml`: what one service is, and how it is baked, judged and rolled out. Pure, validated, published as JSON Schema."""

import re
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tasks.model import Environment, Severity

Name = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]
Percent = Annotated[int, Field(ge=1, le=100)]
Share = Annotated[float, Field(gt=0, lt=1)]
BASE = re.compile(r"^(scratch|(layout:)?[^@\s]+@sha256:[0-9a-f]{64})$")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlatformName(StrEnum):
    """What can run instances today."""

    PROCESS = "process"
    MEMORY = "memory"


class Bake(_Part):
    """How the artifact is made: base + files + locked Python packages + configuration; nothing is executed."""

    base: str = Field(
        "scratch",
        description="`scratch`, `registry/name@sha256:…` or `layout:folder@sha256:…`; by digest only",
    )
    files: dict[str, str] = Field(
        description="file or folder beside service.yaml -> absolute path in the artifact",
        min_length=1,
    )
    requirements: str | None = Field(
        None, description="pip requirements file in which every package is pinned with --hash"
    )
    packages: str = Field(
        "/packages", description="where the Python packages go; put it on PYTHONPATH"
    )
    command: list[str] = Field(
        min_length=1, description="program and arguments; the port to listen on is in $PORT"
    )
    port: int = Field(
        8080,
        ge=1,
        le=65535,
        description="port inside a container; platforms may give another in $PORT",
    )
    environment: dict[str, str] = Field(
        default_factory=dict, description="never secrets: they would be baked"
    )
    health: str = Field(
        "/healthz", pattern="^/", description="path that answers 200 when the instance can serve"
    )
    grace_seconds: float = Field(10, gt=0, le=600, description="from SIGTERM to SIGKILL")

    @field_validator("base")
    @classmethod
    def _by_digest(cls, value: str) -> str:
        if not BASE.match(value):
            raise ValueError(
                "must be `scratch` or a reference by digest (name@sha256:…); a tag can move"
            )
        return value

    @field_validator("files")
    @classmethod
    def _inside(cls, value: dict[str, str]) -> dict[str, str]:
        for source, target in value.items():
            if PurePosixPath(source).is_absolute() or ".." in PurePosixPath(source).parts:
                raise ValueError(f"{source!r} must be a path beside service.yaml")
            if not PurePosixPath(target).is_absolute() or ".." in PurePosixPath(target).parts:
                raise ValueError(f"{target!r} must be an absolute path in the artifact")
        return value


class Smoke(_Part):
    """One request that a fresh instance must answer before it may take traffic."""

    path: str = Field("/", pattern="^/")
    status: int = Field(200, ge=100, le=599)
    contains: str = ""
    timeout_seconds: float = Field(5, gt=0, le=120)


class ErrorObjective(_Part):
    """At least this share of requests must not fail (5xx)."""

    objective: Share = 0.999


class LatencyObjective(_Part):
    """At least `objective` of the requests must be answered within `threshold_ms`."""

    threshold_ms: float = Field(gt=0)
    objective: Share = 0.99


class Objectives(_Part):
    """What users may expect (SLOs)."""

    errors: ErrorObjective = ErrorObjective()
    latency: LatencyObjective | None = None


class WithoutDatabase(StrEnum):
    """What to do when no vulnerability database can be had."""

    REFUSE = "refuse"
    RUN = "run-without-knowing-its-vulnerabilities"


class ScanPolicy(_Part):
    """What may be known to be wrong with an artifact that runs."""

    fail_on: tuple[Severity, ...] = (Severity.CRITICAL, Severity.HIGH)
    fail_on_unfixed: bool = Field(False, description="also refuse findings for which no fix exists")
    fail_on_secrets: bool = True
    max_database_age_hours: float = Field(48, gt=0)
    without_database: WithoutDatabase = WithoutDatabase.REFUSE


class Canary(_Part):
    """A growing share of the traffic, observed at each step."""

    kind: Literal["canary"] = "canary"
    weights: tuple[Annotated[int, Field(ge=1, le=99)], ...] = Field(
        (10, 50), min_length=1, description="percent, growing"
    )
    replicas: int = Field(1, ge=1, le=1000, description="canary instances until promotion")
    baseline: int = Field(
        1,
        ge=0,
        le=100,
        description="fresh instances of the stable artifact beside the canary, as its peers",
    )

    @field_validator("weights")
    @classmethod
    def _growing(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("must grow from step to step")
        return value


class BlueGreen(_Part):
    """A whole second group, tested without traffic, then all traffic at once; the old one stays warm."""

    kind: Literal["blue-green"] = "blue-green"


class AllAtOnce(_Part):
    """Replace everything, one group for the other, as soon as the new one is ready."""

    kind: Literal["all-at-once"] = "all-at-once"


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


class EnvironmentSpec(_Part):
    """One environment; the release passes them in order."""

    name: Name
    platform: PlatformName
    replicas: int = Field(2, ge=1, le=1000)
    listen_port: int = Field(
        0, ge=0, le=65535, description="where users send requests; 0 = chosen once, then kept"
    )
    strategy: Strategy = Canary()
    observe: Observe = Observe()
    ready_seconds: float = Field(60, gt=0, le=3600, description="from start to ready")
    warm_seconds: float = Field(
        600, ge=0, description="the previous group stays ready for this long after promotion"
    )
    needs_approval: bool = False
    approval_seconds: float = Field(
        3600, gt=0, description="without an approval the rollout ends untouched"
    )


class ServiceSpec(_Part):
    """The whole of `service.yaml`."""

    service: Name
    repository: str | None = Field(
        None, description="`host/name` of an OCI registry; default: the embedded OCI layout"
    )
    bake: Bake
    smoke: Smoke = Smoke()
    objectives: Objectives = Objectives()
    scan: ScanPolicy = ScanPolicy()
    environments: tuple[EnvironmentSpec, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> "ServiceSpec":
        names = [environment.name for environment in self.environments]
        if len(set(names)) != len(names):
            raise ValueError(f"environments must have different names, found {names}")
        return self

    def environment(self, name: str) -> Environment | None:
        """The place of that name, or None."""
        if (spec := self.environment_spec(name)) is None:
            return None
        return Environment(self.service, spec.name, spec.platform.value, spec.listen_port)

    def environment_spec(self, name: str) -> EnvironmentSpec | None:
        return next((spec for spec in self.environments if spec.name == name), None)
