"""The recipe of a Dockerfile: a Docker engine builds, and what it built is made the same for the same inputs."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from tasks.adapters import docker_build, docker_buildx
from tasks.adapters.bring import bring_blob
from tasks.adapters.dockerfile_parser import instructions_of, read_dockerfile
from tasks.adapters.dockerignore import kept_paths
from tasks.bake import leaks, normal, rules
from tasks.bake.base import read_base
from tasks.bake.kitchen import Dish, Kitchen
from tasks.bake.layers import pack
from tasks.bake.normaliser import normalise
from tasks.bake.takeout import BuiltParts, staged, take_out
from tasks.bake.tree import read_context
from tasks.dockerfile import SCRATCH, Fault, Images, canonical, examine, tagged
from tasks.errors import InvalidInputError, RefusedError
from tasks.materials import Materials
from tasks.recipes import DockerfileBake
from tasks.references import BaseUsed, parse_reference
from tasks.service import ServiceSpec

CONTEXT = "context"


@dataclass(frozen=True)
class Build:
    """The inputs of one bake, read and hashed; nothing was written yet, and no engine was asked. `text`: the Dockerfile on
    followed bases; None where it is built as it is written."""

    spec: ServiceSpec
    recipe: DockerfileBake
    folder: Path
    entries: tuple[rules.Entry, ...]
    images: Images
    key: str
    bases: tuple[BaseUsed, ...]
    text: bytes | None = None

    @property
    def summary(self) -> str:
        return f"files: {len(self.entries)}, base {self.images.base}, key {self.key[:12]}"

    def make(self, kitchen: Kitchen) -> Dish:
        """Build, read back what stands above the base, normalise, store. Secrets and base are looked at before anything."""
        secrets = docker_buildx.secrets_of(self.recipe.secrets, self.folder)
        sought = {name: leaks.needles(name, one.value) for name, one in secrets.items()}
        base, base_store = read_base(self.images.base, self.folder, kitchen.open_store)
        context = kitchen.work / CONTEXT
        pack(CONTEXT, self._entries(kitchen.work), context)
        with staged(kitchen, self.spec.service) as staging:
            docker_build.fetch_images(self._pulled(), kitchen.say)
            order = self._order(context, staging.name, staging.tag, kitchen.fresh)
            if secrets:
                hide = partial(leaks.hidden, secrets=sought)
                built = docker_buildx.build_with(secrets, order, kitchen.say, hide)
            else:
                built = docker_build.build(order, kitchen.say)
            parts = take_out(staging, base, kitchen)
        _refuse_leaks(parts, sought)
        layers = _normalised(parts, kitchen.work)
        if base_store is not None:
            for layer in base.layers:
                bring_blob(layer.digest, base_store, kitchen.store, kitchen.work)
        kitchen.put(layers)
        config = self._configuration(base, parts, layers)
        return Dish(kitchen.serve(base, config, layers, self.key), built.builder)

    def _entries(self, work: Path) -> tuple[rules.Entry, ...]:
        if self.text is None:
            return self.entries
        followed, at = work / "Dockerfile", _inside(self.recipe)
        followed.write_bytes(self.text)
        return tuple(
            replace(one, origin=followed) if one.path == at else one for one in self.entries
        )

    def _pulled(self) -> tuple[str, ...]:
        return tuple(one for one in (self.images.base, *self.images.others) if one != SCRATCH)

    def _order(self, context: Path, name: str, tag: str, fresh: bool) -> docker_build.Order:
        return docker_build.Order(
            context,
            _inside(self.recipe),
            name,
            (normal.STAGING_LABEL, tag),
            self.recipe.arguments,
            self.recipe.target,
            fresh,
        )

    def _configuration(
        self, base: rules.Base, parts: BuiltParts, layers: list[rules.Layer]
    ) -> bytes:
        """What the builder says already holds what the base says."""
        ours = rules.run_configuration(self.spec, self.key)
        run = normal.run_settings(parts.settings, ours)
        if not run["Cmd"]:
            raise InvalidInputError(
                f"asked to bake {self.folder / self.recipe.dockerfile}; neither it nor its base says what to run; add CMD,"
                " or `bake.command` to service.yaml"
            )
        bare = replace(base, config={"rootfs": (base.config or {}).get("rootfs")})
        return rules.image_configuration(bare, run, layers)

    def materials(self, cache: Path) -> Materials:
        """Files by their paths in the context."""
        files = [one for one in self.entries if one.kind is rules.EntryKind.FILE]
        told = tuple((one.path, one.content) for one in files)
        return Materials(self.images.base, files=told, images=self.images.others)


def read_build(
    spec: ServiceSpec, recipe: DockerfileBake, folder: Path, followed: Mapping[str, str]
) -> Build:
    """InvalidInputError names everything that speaks against the Dockerfile, with its line. On followed bases it is what it
    would be if they were written in the Dockerfile."""
    path = folder / recipe.dockerfile
    text, instructions = read_dockerfile(path)
    bases = tuple(_bases(tagged(instructions), followed))
    is_followed = any(one.was_followed for one in bases)
    if is_followed:
        text = _on(bases, text)
        instructions = instructions_of(text, path)
    images, faults = examine(text, instructions, recipe)
    if faults:
        raise _refused(path, faults)
    context = folder / recipe.context
    entries = read_context(context, kept_paths(context, _inside(recipe)))
    raw = text.encode() if is_followed else None
    if raw is not None:
        entries = tuple(_with(one, raw) if one.path == _inside(recipe) else one for one in entries)
    key = rules.build_key(spec, recipe, entries)
    return Build(spec, recipe, folder, entries, images, key, bases, raw)


def _bases(written: Sequence[str], followed: Mapping[str, str]) -> Iterator[BaseUsed]:
    """Short names are the hub's."""
    for one in written:
        found = parse_reference(one)
        digest = followed.get(one, found.digest)
        repository = canonical(one).rpartition("@")[0]
        yield BaseUsed(one, repository, found.tag, digest)


def _on(bases: Sequence[BaseUsed], text: str) -> str:
    """The Dockerfile with the digests that are followed."""
    for one in bases:
        text = text.replace(one.written, f"{one.written.rpartition('@')[0]}@{one.digest}")
    return text


def _with(entry: rules.Entry, raw: bytes) -> rules.Entry:
    return replace(entry, content=hashlib.sha256(raw).hexdigest(), size=len(raw))


def _inside(recipe: DockerfileBake) -> str:
    """The Dockerfile's path in the context."""
    return str(PurePosixPath(recipe.dockerfile).relative_to(recipe.context))


def _refused(path: Path, faults: tuple[Fault, ...]) -> InvalidInputError:
    count = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
    lines = [f"{path}:{one.line}: {one.text}" for one in faults]
    return InvalidInputError("\n".join([f"{path.name} has {count}; nothing was built", *lines]))


def _refuse_leaks(parts: BuiltParts, sought: dict[str, tuple[bytes, ...]]) -> None:
    """Before anything of it is stored."""
    for where, content in parts.contents() if sought else ():
        if (name := leaks.leaked(content, sought)) is not None:
            raise RefusedError(
                f"asked to bake an image that was built with the secret {name!r}; the secret itself is in its {where}:"
                " nothing was stored; have the step use it where it is mounted, and write it nowhere; the engine's build"
                " cache still has it (`docker builder prune`)"
            )


def _normalised(parts: BuiltParts, work: Path) -> list[rules.Layer]:
    """Layers that hold nothing but what is left out are left out, too: some builders make them, others do not."""
    layers: list[rules.Layer] = []
    left_out: frozenset[str] = frozenset()
    for tar in parts.layers:
        name = f"layer {len(layers) + 1}"
        layer, count, left_out = normalise(name, tar, work / name, left_out)
        layers += [layer] if count else []
    return layers
