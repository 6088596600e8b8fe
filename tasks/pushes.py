"""Pushes, and which repositories may release what: the settings of the receiver (`deployments/repositories.yaml`). Pure.

Secrets are never written here: a setting names the environment variable or the file that holds one (invariant 12).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from tasks.settings import Contradiction, Name, Part, Variable

NO_COMMIT: Final = "0" * 40
"""What forges write for the commit before a branch began, and for the one after it was deleted."""


class Forge(StrEnum):
    """Who tells us of pushes, and therefore how it signs and what it calls things."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"
    GENERIC = "generic"


class OnPush(StrEnum):
    """What becomes of a release in flight when a newer push arrives."""

    FINISH = "finish"
    WITHDRAW = "withdraw"


class Secret(Part):
    """Where a secret is: exactly one of the two."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    variable: Variable | None = Field(None, description="environment variable that holds it")
    file: Annotated[str, Field(pattern=r"^/")] | None = Field(
        None, description="absolute path of the file that holds it, and nothing else"
    )

    def _contradictions(self) -> Iterator[Contradiction]:
        if (self.variable is None) == (self.file is None):
            yield (), "name either `variable` or `file`: where the secret is"

    def __str__(self) -> str:
        return f"${self.variable}" if self.variable else f"the file {self.file}"


class Clone(Part):
    """With which rights the repository is read; none where it is public."""

    user: str = Field(
        "x-access-token", min_length=1, description="user name that goes with the password or token"
    )
    password: Secret | None = Field(None, description="over https: where password or token is")
    ssh_key: Annotated[str, Field(pattern=r"^/")] | None = Field(
        None, description="over ssh: absolute path of the private key"
    )

    def _contradictions(self) -> Iterator[Contradiction]:
        if self.password and self.ssh_key:
            yield ("ssh_key",), "there is a password already; keep the one that fits the URL"


class CommitStatus(Part):
    """Tell the forge beside each commit what became of it."""

    api: str = Field(
        "",
        pattern=r"^(https?://.+)?$",
        description="address of its API; default: as its own documentation has it for the host of `url`",
    )
    token: Secret = Field(description="where the token is that may write commit statuses")


class PushedService(Part):
    """One service of the repository, and which pushes concern it."""

    service: Name = Field(description="its name, as in its service.yaml")
    folder: str = Field(
        ".",
        pattern=r"^[^/].*$",
        description="folder of its service.yaml in the repository; `.` is its top",
    )
    branches: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        ("main",), min_length=1, description="patterns: `main`, `release/*`, `**`"
    )
    paths: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (),
        description="patterns of files that concern it: `shop/**`, `lib/*.py`; `!` before one takes it out again;"
        " default: everything in its folder",
    )
    to: str = Field("", description="last environment of a pushed release; default: all")

    def _contradictions(self) -> Iterator[Contradiction]:
        if ".." in self.folder.split("/"):
            yield ("folder",), f"{self.folder!r} leads out of the repository"


class Repository(Part):
    """A repository whose pushes release something. Nothing else is ever cloned."""

    name: Name = Field(description="its webhook is `POST /push/<name>` of the receiver")
    url: str = Field(
        pattern=r"^(https?://[^@\s]+|ssh://[^\s]+|[\w.-]+@[\w.-]+:[^\s]+|file:///[^\s]+|/[^\s]+)$",
        description="where it is cloned from, without credentials: https, ssh, or a folder of this machine",
    )
    forge: Forge = Field(description="who tells of its pushes")
    secret: Secret = Field(description="where the webhook's secret is")
    also: tuple[str, ...] = Field(
        (), description="other addresses under which the forge speaks of this repository"
    )
    services: tuple[PushedService, ...] = Field(
        min_length=1, description="what it releases; several in a monorepo"
    )
    clone: Clone = Field(Clone(), description="with which rights it is read")
    status: CommitStatus | None = Field(None, description="tell the forge what became of a commit")

    def _contradictions(self) -> Iterator[Contradiction]:
        if self.status and self.forge is Forge.GENERIC:
            yield ("status",), "a generic forge has no commit statuses; leave it out"
        if self.clone.ssh_key and self.url.startswith(("http", "/", "file:")):
            yield ("clone", "ssh_key"), "the URL is not read over ssh"
        names = [one.service for one in self.services]
        for number, one in enumerate(self.services):
            if one.service in names[:number]:
                yield ("services", number, "service"), f"{one.service!r} stands here twice"


class Repositories(Part):
    """The whole file."""

    repositories: tuple[Repository, ...] = Field(
        description="whose pushes are listened to; none: `[]`"
    )

    def _contradictions(self) -> Iterator[Contradiction]:
        seen: dict[str, str] = {}
        names = [one.name for one in self.repositories]
        for number, one in enumerate(self.repositories):
            if one.name in names[:number]:
                yield ("repositories", number, "name"), f"{one.name!r} is another's name already"
            for place, service in enumerate(one.services):
                if (other := seen.setdefault(service.service, one.name)) != one.name:
                    yield (
                        ("repositories", number, "services", place, "service"),
                        f"{service.service!r} is released from the repository {other!r} already",
                    )

    def named(self, name: str) -> Repository | None:
        return next((one for one in self.repositories if one.name == name), None)


@dataclass(frozen=True)
class Push:
    """What a forge says has happened to a branch. `paths` is None where it does not tell (all of) them.

    `addresses`: under which the forge speaks of the repository. `delivery`: its id of the message. `by` is a claim.
    """

    delivery: str
    addresses: tuple[str, ...]
    branch: str
    commit: str
    by: str
    paths: frozenset[str] | None


@dataclass(frozen=True)
class Nothing:
    """A message that is no push of a branch: answered kindly, and nothing follows. `why` is a sentence."""

    why: str
