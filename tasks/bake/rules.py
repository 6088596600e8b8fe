"""What an artifact is made of, which key its inputs have, and what its configuration and manifest say. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from tasks import oci
from tasks.bake.lock import LockedPackage
from tasks.errors import InvalidInputError
from tasks.model import Label
from tasks.ports import Descriptor
from tasks.recipes import Bake, DockerfileBake
from tasks.service import ServiceSpec

# Part of every content key: raise it when the same inputs begin to make other bytes.
BAKE_FORMAT = 1
UNPACKED_FORMAT = (
    2  # the same for wheels, in the key of what has any: 2 keeps programs that they bring
)
EPOCH = "1970-01-01T00:00:00Z"
ARCHITECTURE, SYSTEM = "amd64", "linux"
SCRATCH = "scratch"
TMP = "tmp"

IGNORED_FOLDERS = frozenset({".git", ".hg", ".svn", "__pycache__"})
IGNORED_ENDINGS = (".pyc", ".pyo")

LAYER_TYPES = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": oci.LAYER,
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
}
# Entrypoint is not among them: `command` is the whole command line.
INHERITED = ("Env", "User", "Labels", "Volumes", "StopSignal")
BASE_DIGEST = "org.opencontainers.image.base.digest"


class EntryKind(StrEnum):
    FILE = "file"
    FOLDER = "folder"
    LINK = "link"


@dataclass(frozen=True)
class Entry:
    """One member of a layer. `path` has no leading slash; `content` is a file's sha256 in hex, or a link's target.

    `origin` is where a file's bytes are; it is not part of the artifact.
    """

    path: str
    kind: EntryKind
    mode: int
    content: str = ""
    size: int = 0
    origin: Path | None = None


@dataclass(frozen=True)
class Layer:
    """A packed layer. `diff_id` is the digest of the bytes before compression."""

    name: str
    descriptor: Descriptor
    diff_id: str


@dataclass(frozen=True)
class Base:
    """What an artifact is baked on. `reference` is as in service.yaml; empty layers and configuration for scratch."""

    reference: str = SCRATCH
    layers: tuple[Descriptor, ...] = ()
    config: Mapping[str, Any] | None = None


def is_ignored(name: str, is_folder: bool) -> bool:
    """Version control and byte code are no inputs: they differ between two checkouts of the same commit."""
    return name in IGNORED_FOLDERS if is_folder else name.endswith(IGNORED_ENDINGS)


def file_mode(mode: int) -> int:
    """As Git keeps it: the owner's execute bit alone, so that nobody's umask is baked."""
    return 0o755 if mode & 0o100 else 0o644


def leaves(link: str, target: str) -> bool:
    """Does a symbolic link at `link` (relative to its root) lead out of the root?"""
    if PurePosixPath(target).is_absolute():
        return True
    depth = len(PurePosixPath(link).parts) - 1
    for part in PurePosixPath(target).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def distinct(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Sorted by path. Refuses two different things at one path, and files where others need a folder."""
    found: dict[str, Entry] = {}
    for entry in entries:
        other = found.setdefault(entry.path, entry)
        if other != entry and not other.kind is entry.kind is EntryKind.FOLDER:
            raise InvalidInputError(
                f"asked to bake both {other.origin or other.content} and {entry.origin or entry.content} "
                f"as /{entry.path}; change `files` in service.yaml so that each has a path of its own"
            )
    for entry in found.values():
        for parent in PurePosixPath(entry.path).parents:
            above = found.get(str(parent))
            if above is not None and above.kind is not EntryKind.FOLDER:
                raise InvalidInputError(
                    f"asked to bake /{entry.path}, but /{above.path} is a {above.kind}; "
                    "change `files` in service.yaml"
                )
    return tuple(found[path] for path in sorted(found))


def with_parents(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """For what is baked from scratch: nothing below it brings the folders above the entries."""
    present = {entry.path for entry in entries}
    above = {str(p) for entry in entries for p in PurePosixPath(entry.path).parents} - {"."}
    folders = [Entry(path, EntryKind.FOLDER, _folder_mode(path)) for path in above - present]
    return distinct([*entries, *folders])


def tmp_folder() -> Entry:
    """A mount point must be in the image, or mounting it looks like drift."""
    return Entry(TMP, EntryKind.FOLDER, _folder_mode(TMP))


def _folder_mode(path: str) -> int:
    return 0o1777 if path == TMP else 0o755


def run_configuration(spec: ServiceSpec, content_key: str) -> dict[str, Any]:
    """What the image says about how it is run."""
    bake = spec.bake
    return {
        "Cmd": list(bake.command or ()),
        "Env": [f"{name}={text}" for name, text in sorted(bake.environment.items())],
        "ExposedPorts": {f"{bake.port}/tcp": {}},
        "Labels": {
            Label.SERVICE.value: spec.service,
            Label.CONTENT_KEY.value: content_key,
            Label.HEALTH.value: bake.health,
            Label.GRACE_SECONDS.value: f"{bake.grace_seconds:g}",
        },
        "WorkingDir": "/",
    }


def content_key(
    spec: ServiceSpec,
    entries: Sequence[Entry],
    packages: Sequence[LockedPackage],
    interpreter: str,
) -> str:
    """sha256 (hex) of everything that decides what the artifact is: known without packing or downloading anything.

    In it: the bake format, base digest, every member (path, mode, content), the locked packages with their hashes and,
    if there are any, the interpreter and platform that choose among their wheels, and the run configuration.
    Not in it: zlib's version. It may change how the same content is compressed, so the digest, but not what the
    artifact is; machines with different zlibs should find and share one artifact, not bake two.
    Nor the base's name: its digest says what it is.
    """
    assert isinstance(spec.bake, Bake), "a Dockerfile has its own key (tasks/bake/normal.py)"
    description = {
        "format": BAKE_FORMAT,
        "base": spec.bake.base.rpartition("@")[2],
        "members": [[e.path, e.kind.value, e.mode, e.content] for e in distinct(entries)],
        "packages": [
            [package.name, package.version, sorted(package.sha256)] for package in packages
        ],
        "packages_in": spec.bake.packages if packages else "",
        "interpreter": interpreter if packages else "",
        **({"unpacked": UNPACKED_FORMAT} if packages else {}),
        "run": run_configuration(spec, ""),
    }
    return hashlib.sha256(oci.canonical(description)).hexdigest()


def build_key(spec: ServiceSpec, recipe: DockerfileBake, entries: Sequence[Entry]) -> str:
    """The same of what a Dockerfile is built from. Its bases are in it by digest.

    Not in it: what RUN fetches, the builder and its version, values of secrets: who wants those anew changes something.
    """
    description = {
        "format": BAKE_FORMAT,
        "dockerfile": recipe.dockerfile,
        "context": recipe.context,
        "target": recipe.target,
        "arguments": dict(recipe.arguments),
        "secrets": sorted(recipe.secrets),
        "members": [[e.path, e.kind.value, e.mode, e.content] for e in distinct(entries)],
        "platform": f"{SYSTEM}/{ARCHITECTURE}",
        "run": run_configuration(spec, ""),
    }
    return hashlib.sha256(oci.canonical(description)).hexdigest()


def key_tag(key: str) -> str:
    """The tag under which the artifact of these inputs is found again."""
    return f"k-{key[:32]}"


def baked_from(config: Mapping[str, Any]) -> str:
    """The content key an image's configuration claims; empty if it was not baked here."""
    labels = (config.get("config") or {}).get("Labels") or {}
    return str(labels.get(Label.CONTENT_KEY.value, ""))


def image_configuration(base: Base, run: Mapping[str, Any], layers: Sequence[Layer]) -> bytes:
    """The OCI configuration: the base's where the service says nothing, constant times, layers in order."""
    below: Mapping[str, Any] = base.config or {}
    config = {name: value for name, value in (below.get("config") or {}).items() if value}
    config = {name: config[name] for name in INHERITED if name in config} | dict(run)
    inherited = (below.get("config") or {}).get("Env") or []
    config["Env"] = _environment([*inherited, *run["Env"]])
    config["Labels"] = {**((below.get("config") or {}).get("Labels") or {}), **run["Labels"]}
    diff_ids = [*_diff_ids(base), *(layer.diff_id for layer in layers)]
    names = [*("base" for _ in base.layers), *(layer.name for layer in layers)]
    return oci.canonical(
        {
            "architecture": ARCHITECTURE,
            "os": SYSTEM,
            "created": EPOCH,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created": EPOCH, "created_by": f"bakewell: {name}"} for name in names],
        }
    )


def _environment(pairs: Sequence[str]) -> list[str]:
    """Later ones win; the first's place is kept."""
    found = {pair.partition("=")[0]: pair for pair in pairs}
    return list(found.values())


def _diff_ids(base: Base) -> list[str]:
    return list(((base.config or {}).get("rootfs") or {}).get("diff_ids") or [])


def image_manifest(base: Base, config: bytes, layers: Sequence[Layer]) -> bytes:
    described = Descriptor(oci.CONFIG, oci.digest_of(config), len(config))
    all_layers = [*base.layers, *(layer.descriptor for layer in layers)]
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": oci.to_json(described),
        "layers": [oci.to_json(layer) for layer in all_layers],
    }
    if base.reference != SCRATCH:
        # The digest alone: the same base under another name must not make another artifact.
        manifest["annotations"] = {BASE_DIGEST: base.reference.rpartition("@")[2]}
    return oci.canonical(manifest)


def platform_manifest(index: Mapping[str, Any], reference: str) -> str:
    """The digest of the image for our architecture in an index."""
    for entry in index["manifests"]:
        platform = entry.get("platform") or {}
        if (platform.get("os"), platform.get("architecture")) == (SYSTEM, ARCHITECTURE):
            return str(entry["digest"])
    raise InvalidInputError(
        f"asked to bake on {reference}; it is an index without an image for {SYSTEM}/{ARCHITECTURE}; "
        "take another base"
    )


def checked_base(reference: str, manifest: Mapping[str, Any], config: Mapping[str, Any]) -> Base:
    """The base, with its layers under their OCI types. Refuses what we could not build on truthfully."""
    layers = tuple(
        Descriptor(
            LAYER_TYPES.get(each["mediaType"], each["mediaType"]), each["digest"], each["size"]
        )
        for each in manifest["layers"]
    )
    base = Base(reference, layers, config)
    found = f"{config.get('os')}/{config.get('architecture')}"
    if found != f"{SYSTEM}/{ARCHITECTURE}":
        problem = f"it is for {found}, not for {SYSTEM}/{ARCHITECTURE}"
    elif any(each.get("urls") for each in manifest["layers"]):
        problem = "some of its layers are kept elsewhere (foreign layers)"
    elif len(_diff_ids(base)) != len(layers):
        problem = f"it has {len(layers)} layers and {len(_diff_ids(base))} diff_ids"
    else:
        return base
    raise InvalidInputError(f"asked to bake on {reference}; {problem}; take another base")
