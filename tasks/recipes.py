"""How an artifact is made: by assembling files and locked packages, or from a Dockerfile. Part of `service.yaml`. Pure.

Which of the two is meant says the setting `dockerfile`: where it is, Docker builds.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Final

from pydantic import Discriminator, Field, Tag, field_validator

from tasks.references import TAG, by_digest
from tasks.settings import KINDS, Contradiction, Variable, shown_address
from tasks.settings import Part as _Part

HOST: Final = (
    r"(localhost|\[[0-9a-f:]+\](?=:)|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:))(:\d{1,5})?"
)
NAME: Final = r"(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)+"
BASE: Final = re.compile(rf"scratch|(layout:[^@]+|{HOST}{NAME}(:{TAG})?)@sha256:[0-9a-f]{{64}}")
PROXIES: Final = frozenset(
    f"{scheme}_PROXY" for scheme in ("HTTP", "HTTPS", "FTP", "NO", "ALL", "SOCKS")
)
BUILDER_ARGUMENT: Final = "BUILDKIT_"

SecretName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        description="letters, digits, underscores, dots and hyphens: the `id` in RUN --mount=type=secret",
    ),
]


class _Run(_Part):
    """What instances are told and asked, however the artifact is made."""

    port: int = Field(
        8080,
        ge=1,
        le=65535,
        description="port inside a container; platforms may give another in $PORT",
    )
    environment: dict[Variable, str] = Field(
        default_factory=dict, description="never secrets: they would be baked"
    )
    health: str = Field(
        "/healthz", pattern="^/", description="path that answers 200 when the instance can serve"
    )
    grace_seconds: float = Field(10, gt=0, le=600, description="from SIGTERM to SIGKILL")

    def _contradictions(self) -> Iterator[Contradiction]:
        if "PORT" in self.environment:
            yield ("environment", "PORT"), "the platform sets PORT; remove it"


class Bake(_Run):
    """How the artifact is made: base + files + locked Python packages + configuration; nothing is executed."""

    base: str = Field(
        "scratch",
        description="`scratch`, `host/name@sha256:…` or `layout:folder@sha256:…`; by digest. With a tag before it"
        " (`host/name:12@sha256:…`) the weekly rebuild follows that tag",
    )
    files: dict[str, str] = Field(
        description="file or folder beside service.yaml -> absolute path in the artifact",
        min_length=1,
    )
    requirements: str | None = Field(
        None, description="pip requirements file in which every package is pinned with --hash"
    )
    packages: str = Field(
        "/packages",
        pattern="^/",
        description="where the Python packages go; put it on PYTHONPATH",
    )
    command: list[str] = Field(
        min_length=1, description="program and arguments; the port to listen on is in $PORT"
    )

    @field_validator("base")
    @classmethod
    def _by_digest(cls, value: str) -> str:
        if not BASE.fullmatch(value):
            raise ValueError(
                f"found {shown_address(value)}; allowed: `scratch`, `host[:port]/name@sha256:…` or `layout:folder@sha256:…`,"
                " by digest because a tag can move; a tag may stand before it (`name:12@sha256:…`) for rebuilds to follow"
            )
        return value

    def _contradictions(self) -> Iterator[Contradiction]:
        targets: dict[str, str] = {}
        for source, target in self.files.items():
            at = ("files", source)
            if _leads_away(source):
                yield at, f"{source!r} must be a path beside service.yaml"
            if not PurePosixPath(target).is_absolute() or ".." in PurePosixPath(target).parts:
                yield at, f"{target!r} must be an absolute path in the artifact"
            if (other := targets.setdefault(str(PurePosixPath(target)), source)) != source:
                yield at, f"{other!r} goes to {target!r} already; two things cannot be in one place"
        yield from super()._contradictions()


class SecretReference(_Part):
    """Where the secret is that a build step may read: never the secret itself (it would be journalled with service.yaml)."""

    file: str | None = Field(None, description="a file: absolute, or beside service.yaml")
    variable: Variable | None = Field(None, description="a variable of Bakewell's environment")

    def _contradictions(self) -> Iterator[Contradiction]:
        if (self.file is None) == (self.variable is None):
            yield (), "needs either `file` or `variable`: where the secret is kept"


class DockerfileBake(_Run):
    """How the artifact is made: from a Dockerfile, by a Docker engine, and then made the same for the same inputs."""

    dockerfile: str = Field(
        min_length=1, description="Dockerfile beside service.yaml, inside `context`"
    )
    context: str = Field(
        ".",
        min_length=1,
        description="folder beside service.yaml that the Dockerfile copies from; its .dockerignore counts",
    )
    target: str | None = Field(
        None,
        min_length=1,
        description="stage of the Dockerfile that is the artifact; default: last",
    )
    arguments: dict[Variable, str] = Field(
        default_factory=dict, description="for ARG in the Dockerfile; never secrets: they are baked"
    )
    secrets: dict[SecretName, SecretReference] = Field(
        default_factory=dict, description="for RUN --mount=type=secret,id=NAME; never baked"
    )
    command: list[str] | None = Field(
        None,
        min_length=1,
        description="program and arguments; default: what the Dockerfile says; the port is in $PORT",
    )

    def _contradictions(self) -> Iterator[Contradiction]:
        for name in ("dockerfile", "context"):
            if _leads_away(getattr(self, name)):
                yield (name,), f"{getattr(self, name)!r} must be a path beside service.yaml"
        if not PurePosixPath(self.dockerfile).is_relative_to(self.context):
            yield ("dockerfile",), f"must be inside `context`, which is {self.context!r}"
        for name in self.arguments:
            if name.upper() in PROXIES:
                yield (
                    ("arguments", name),
                    "a proxy may be another tomorrow; it belongs into ~/.docker/config.json (`proxies`), and is not baked",
                )
            if name.startswith(BUILDER_ARGUMENT):
                yield (
                    ("arguments", name),
                    "it would change the builder, not the artifact; remove it",
                )
        yield from super()._contradictions()


def _leads_away(path: str) -> bool:
    return PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts


def _kind(value: Any) -> str:
    """Of a mapping as it is written, or of what was made of one."""
    if isinstance(value, Mapping):
        return "dockerfile" if "dockerfile" in value else "files"
    return "dockerfile" if isinstance(value, DockerfileBake) else "files"


Recipe = Annotated[
    Annotated[Bake, Tag("files")] | Annotated[DockerfileBake, Tag("dockerfile")],
    Discriminator(_kind),
    Field(
        json_schema_extra={KINDS: {"files": "#/$defs/Bake", "dockerfile": "#/$defs/DockerfileBake"}}
    ),
]


def named_base(recipe: Bake | DockerfileBake) -> str:
    """The base that service.yaml names, without a tag; empty where a Dockerfile does."""
    return by_digest(recipe.base) if isinstance(recipe, Bake) else ""
