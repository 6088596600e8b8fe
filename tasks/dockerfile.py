"""What a Dockerfile builds on, and why it may not be built. Pure: rules over instructions that a parser has read.

Reference: https://docs.docker.com/reference/dockerfile/ (scope of ARG before FROM, COPY --from, RUN --mount, `# syntax`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from tasks.recipes import PROXIES, DockerfileBake
from tasks.references import parse_reference

SCRATCH: Final = "scratch"
HUB: Final = "docker.io"
PLATFORM: Final = "linux/amd64"
# What BuildKit declares by itself; https://docs.docker.com/build/building/variables/#pre-defined-build-arguments
PLATFORM_ARGUMENTS: Final = {
    f"{side}{part}": value
    for side in ("BUILD", "TARGET")
    for part, value in {
        "PLATFORM": PLATFORM,
        "OS": "linux",
        "ARCH": "amd64",
        "VARIANT": "",
    }.items()
} | {"TARGETSTAGE": ""}

_PINNED = re.compile(r"(?P<name>[^\s@$]+)@(?P<digest>sha256:[0-9a-f]{64})")
_VARIABLE = re.compile(
    r"\\(?P<escaped>.)|\$\{(?P<braced>\w+)(:(?P<how>[-+])(?P<word>[^}]*))?\}|\$(?P<plain>\w+)"
)
_DIRECTIVE = re.compile(r"(#|//)\s*syntax\s*=\s*(?P<image>\S+)", re.IGNORECASE)


@dataclass(frozen=True)
class Instruction:
    """One instruction as it is written: `name` in capitals, `words` after it without `flags` (`--from=build`)."""

    line: int
    name: str
    words: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    def flag(self, name: str) -> str | None:
        """The value of the last flag of that name."""
        found = [one.partition("=")[2] for one in self.flags if one.startswith(f"--{name}=")]
        return found[-1] if found else None

    @property
    def mounts(self) -> tuple[Mapping[str, str], ...]:
        """Of `RUN --mount=type=…,from=…`: each as a mapping."""
        told = [one.partition("=")[2] for one in self.flags if one.startswith("--mount=")]
        pairs = [[part.partition("=") for part in one.split(",")] for one in told]
        return tuple({name.strip().lower(): value for name, _, value in one} for one in pairs)


@dataclass(frozen=True)
class Images:
    """What goes into a build: what the artifact stands on (`scratch` or `host/name@sha256:…`), and all other images."""

    base: str = SCRATCH
    others: tuple[str, ...] = ()


@dataclass(frozen=True, order=True)
class Fault:
    """Why a Dockerfile is not built; `line` counts from 1."""

    line: int
    text: str


@dataclass(frozen=True)
class _Stage:
    """`base` is what the stage stands on in the end; None if that is not known."""

    name: str
    base: str | None


def examine(
    text: str, instructions: Sequence[Instruction], bake: DockerfileBake
) -> tuple[Images, tuple[Fault, ...]]:
    """All images of a Dockerfile, and everything that speaks against building it. With a fault the images are incomplete."""
    arguments = {**PLATFORM_ARGUMENTS, **_before_from(instructions, bake.arguments)}
    stages: list[_Stage] = []
    faults = [*_arguments_and_secrets(instructions, bake), *_not_offered(instructions)]
    named: list[str] = []
    for line, wanted, how in _named_images(text, instructions):
        if how == "FROM":
            base = expanded(wanted.partition(" ")[0], arguments)
            found = _stage(base, stages)
            told = found.base if found else _image(base)
            stages.append(_Stage(wanted.partition(" ")[2].lower(), told))
            known = found is not None or told == SCRATCH
        else:
            base, known = wanted, bool(how == "COPY" and _stage(wanted, stages[:-1]))
            told = _image(base)
        if not known and told is None:
            faults.append(Fault(line, _unpinned(wanted, base)))
        elif not known and told is not None:
            named.append(told)
    chosen = _target(stages, bake.target)
    if stages and chosen is None:
        names = ", ".join(one.name for one in stages if one.name) or "none has a name"
        faults.append(Fault(1, f"has no stage {bake.target!r} (`bake.target`); stages: {names}"))
    base = (chosen.base if chosen else None) or SCRATCH
    return Images(base, tuple(sorted(set(named) - {base}))), tuple(sorted(set(faults)))


def tagged(instructions: Sequence[Instruction]) -> tuple[str, ...]:
    """References with a tag beside the digest, as they are written in FROM and COPY --from: what a rebuild can follow. One
    that is put together from variables follows nothing."""
    named = (wanted.partition(" ")[0] for _, wanted, _ in _named_images("", instructions))
    pinned = dict.fromkeys(one for one in named if _PINNED.fullmatch(one))
    return tuple(one for one in pinned if parse_reference(one).tag)


def canonical(reference: str) -> str:
    """`host/name@sha256:…` of what may be short (`python:3.12@sha256:…` is docker.io/library/python); without the tag."""
    name, _, digest = reference.rpartition("@")
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        name = f"{HUB}/{name}" if slash else f"{HUB}/library/{name}"
        first, _, rest = name.partition("/")
    folder, slash, last = rest.rpartition("/")
    return f"{first}/{folder}{slash}{last.partition(':')[0]}@{digest}"


def expanded(text: str, values: Mapping[str, str]) -> str:
    """With `$NAME`, `${NAME}`, `${NAME:-else}` and `${NAME:+instead}` replaced, as in FROM."""

    def value(found: re.Match[str]) -> str:
        if found["escaped"]:
            return found["escaped"]
        known = values.get(found["braced"] or found["plain"], "")
        if found["how"] == "-":
            return known or found["word"]
        return found["word"] if found["how"] and known else "" if found["how"] else known

    return _VARIABLE.sub(value, text)


def _named_images(text: str, instructions: Sequence[Instruction]) -> Iterator[tuple[int, str, str]]:
    """Line, what is named, and how. FROM: name and, after a blank, the stage's own name."""
    begins = next((one.line for one in instructions if one.name.isalpha()), 1)
    for number, line in enumerate(text.splitlines()[: begins - 1], 1):
        if found := _DIRECTIVE.match(line.strip("\ufeff \t")):
            yield number, found["image"], "syntax"
    for one in instructions:
        if one.name == "FROM" and one.words:
            own = one.words[2] if len(one.words) == 3 and one.words[1].upper() == "AS" else ""
            yield one.line, f"{one.words[0]} {own}", "FROM"
        elif (image := one.flag("from")) is not None:
            yield one.line, image, "COPY"
        for mount in one.mounts if one.name == "RUN" else ():
            if "from" in mount:
                yield one.line, mount["from"], "COPY"


def _before_from(instructions: Sequence[Instruction], given: Mapping[str, str]) -> dict[str, str]:
    """What FROM may use: arguments that are declared before the first stage."""
    found: dict[str, str] = {}
    for one in instructions:
        if one.name == "FROM":
            break
        for word in one.words if one.name == "ARG" else ():
            name, _, default = word.partition("=")
            found[name] = given.get(name, expanded(default.strip("\"'"), found))
    return found


def _stage(name: str, stages: Sequence[_Stage]) -> _Stage | None:
    """The stage of that name; of that number in COPY --from."""
    if name.isdecimal() and int(name) < len(stages):
        return stages[int(name)]
    return next((one for one in reversed(stages) if one.name and one.name == name.lower()), None)


def _image(reference: str) -> str | None:
    if reference == SCRATCH:
        return SCRATCH
    return canonical(reference) if _PINNED.fullmatch(reference) else None


def _target(stages: Sequence[_Stage], target: str | None) -> _Stage | None:
    if target is None:
        return stages[-1] if stages else None
    return _stage(target, stages)


def _unpinned(written: str, found: str) -> str:
    image = found or written.strip()
    return (
        f"{image!r} is not named by digest, and may be another image tomorrow; write {image.partition('@')[0]}@sha256:…"
        f" (`docker buildx imagetools inspect {image.partition('@')[0]}` tells it, or `docker pull`)"
    )


def _arguments_and_secrets(
    instructions: Sequence[Instruction], bake: DockerfileBake
) -> Iterator[Fault]:
    declared = {
        word.partition("=")[0]: one.line
        for one in instructions
        if one.name == "ARG"
        for word in one.words
    }
    for name, line in declared.items():
        if name.upper() in PROXIES:
            yield Fault(
                line,
                f"ARG {name} would bake the proxy's address; remove it: RUN steps have it without",
            )
    for name in sorted(bake.arguments.keys() - declared.keys() - PLATFORM_ARGUMENTS.keys()):
        yield Fault(1, f"`bake.arguments.{name}` is given, but there is no ARG {name}")
    wanted = dict(_secrets(instructions))
    for name, line in wanted.items():
        if name not in bake.secrets:
            yield Fault(line, f"the secret {name!r} is wanted; name its place in `bake.secrets`")
    for name in sorted(bake.secrets.keys() - wanted.keys()):
        yield Fault(1, f"`bake.secrets.{name}` is given, but no RUN --mount=type=secret,id={name}")


def _not_offered(instructions: Sequence[Instruction]) -> Iterator[Fault]:
    for one in instructions:
        wanted = expanded(one.flag("platform") or PLATFORM, PLATFORM_ARGUMENTS)
        if one.name == "FROM" and wanted != PLATFORM:
            yield Fault(
                one.line, f"is for {wanted}; artifacts are for {PLATFORM}: remove --platform"
            )
        if one.name == "RUN" and any(mount.get("type") == "ssh" for mount in one.mounts):
            yield Fault(
                one.line,
                "wants an SSH agent, which no step gets; give it a key of its own in `bake.secrets`",
            )


def _secrets(instructions: Sequence[Instruction]) -> Iterator[tuple[str, int]]:
    """Their ids; the target's last part is the id where none is written."""
    for one in instructions:
        for mount in one.mounts if one.name == "RUN" else ():
            if mount.get("type") == "secret":
                target = mount.get("target") or mount.get("dst") or mount.get("destination") or ""
                yield mount.get("id") or PurePosixPath(target).name, one.line
