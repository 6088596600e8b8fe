"""Whose signatures count on this machine: `keys/trusted.yaml`. Data that people read, checked whenever it is read.

"Valid" means valid today. Without a transparency log the time at which a signature was made is only its maker's word: who
holds a stolen key writes any date. So a key that is no longer valid vouches for nothing, not even for what it has signed
before; what should go on counting is signed again first (`bakewell keys resign`).
"""

import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pydantic import AwareDatetime, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from tasks.adapters.yaml_places import Document, Place, Problem, read_yaml
from tasks.errors import InvalidInputError
from tasks.evidence import KeyRole
from tasks.settings import Contradiction, Name, Part

FILE: Final = "trusted.yaml"
KEYLESS: Final = "keyless"
BYTES_AT_MOST: Final = 1_000_000
HEADER: Final = (
    "# Whose signatures count here, for what, and how long. `bakewell keys` reads and writes this file; copy it to machines\n"
    "# that only verify. There is nothing secret in it, but who may change it decides what may run.\n"
)


class _Limited(Part):
    """Something that is trusted for a role, for a time."""

    name: Name
    role: KeyRole
    not_before: AwareDatetime | None = None
    not_after: AwareDatetime | None = None

    def valid(self, now: datetime) -> bool:
        """From `not_before`, until just before `not_after`."""
        begun = self.not_before is None or self.not_before <= now
        return begun and (self.not_after is None or now < self.not_after)

    def _contradictions(self) -> Iterator[Contradiction]:
        if self.not_before and self.not_after and self.not_after < self.not_before:
            yield ("not_after",), "is before not_before"


class TrustedKey(_Limited):
    """A public key (PEM). `signer`: where its private half is, if it can be asked here: `file:NAME` or `kms://ARN`."""

    public: str
    signer: str = Field("", pattern=r"^(|file:[A-Za-z0-9._-]+|kms://\S+)$")


class TrustedIdentity(_Limited):
    """Whoever can show this identity to Sigstore's certificate authority (keyless): issuer and subject, letter by letter."""

    issuer: str = Field(min_length=1)
    subject: str = Field(min_length=1)


class Trusted(Part):
    """The whole file. `signs`: the name of the key that signs for a role here, or `keyless`."""

    keys: tuple[TrustedKey, ...] = ()
    identities: tuple[TrustedIdentity, ...] = ()
    signs: Mapping[KeyRole, str] = {}

    def named(self, name: str) -> TrustedKey | None:
        return next((key for key in self.keys if key.name == name), None)

    def identity(self, name: str) -> TrustedIdentity | None:
        return next((one for one in self.identities if one.name == name), None)

    def names(self) -> list[str]:
        return [one.name for one in (*self.keys, *self.identities)]

    def _contradictions(self) -> Iterator[Contradiction]:
        for name, count in Counter(self.names()).items():
            if count > 1:
                yield ("keys",), f"{name!r} is the name of {count}; each needs its own"
        for text, count in Counter(key.public.strip() for key in self.keys).items():
            if count > 1:
                names = ", ".join(key.name for key in self.keys if key.public.strip() == text)
                yield ("keys",), f"{names} are one key; a key has one role"
        for role, name in self.signs.items():
            if name != KEYLESS and (key := self.named(name)) is None:
                yield ("signs", role.value), f"there is no key named {name!r}"
            elif name != KEYLESS and key and (key.role is not role or not key.signer):
                yield ("signs", role.value), f"{name!r} is of another role, or not held here"


def read_trusted(path: Path) -> Trusted:
    """What the file says; nothing if there is none. InvalidInputError names every mistake with its line."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return Trusted()
    except OSError as error:
        raise InvalidInputError(
            f"asked for the trusted keys in {path}; found {error.strerror}; check who may read it"
        ) from error
    return _understood(raw, path)


@lru_cache(maxsize=8)
def _understood(raw: bytes, path: Path) -> Trusted:
    """The same bytes say the same: reading YAML takes longer than everything else that an admission from memory asks."""
    if len(raw) > BYTES_AT_MOST:
        raise _refused(path, [Problem(Place(), f"more than {BYTES_AT_MOST} bytes")])
    document = read_yaml(raw)
    if document.problems:
        raise _refused(path, document.problems)
    try:
        return Trusted.model_validate_json(json.dumps(document.value or {}), strict=True)
    except ValidationError as error:
        raise _refused(path, _problems(error, document)) from error


def written(trusted: Trusted) -> bytes:
    """As it is stored: readable, public keys as PEM that can be copied out."""
    content = trusted.model_dump(mode="json", exclude_defaults=True)
    for key in content.get("keys", ()):
        key["public"] = LiteralScalarString(key["public"].strip() + "\n")
    text = io.StringIO()
    yaml = YAML()
    yaml.width = 1000
    yaml.dump(content, text)
    return (HEADER + text.getvalue()).encode()


def _problems(error: ValidationError, document: Document) -> list[Problem]:
    found = []
    for one in error.errors():
        ends = range(len(one["loc"]), 0, -1)
        places = (document.places.get(tuple(one["loc"][:end])) for end in ends)
        place = next((here for here in places if here), Place())
        found.append(Problem(place, f"{_name(one['loc'])}{one['msg']}"))
    return found


def _name(location: tuple[Any, ...]) -> str:
    return "".join(f"{part}: " for part in [".".join(map(str, location))] if part)


def _refused(path: Path, problems: list[Problem]) -> InvalidInputError:
    lines = [f"{path}:{one.place.line}:{one.place.column}: {one.text}" for one in problems]
    advice = "mend it, or restore it from a backup; until then no signature counts"
    return InvalidInputError("\n".join([f"{FILE} cannot be used; {advice}", *lines]))
