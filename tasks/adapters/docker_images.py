"""The image of an artifact on an engine: there already, pulled by digest, or loaded from our own store.

An image is known by what it is, never by a tag: with the classic image store an engine's own number of it is the digest of
its configuration, with containerd's the digest of its manifest. What is neither is not run.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import docker.errors

from tasks import mirrors, oci
from tasks.adapters import docker_archive, docker_login
from tasks.adapters.docker_engine import NO_SPACE, Engine, told_error, translated
from tasks.adapters.docker_run import Image
from tasks.adapters.fleet_notes import put_text
from tasks.errors import (
    CorruptError,
    NotFoundError,
    RefusedError,
    TransientError,
)
from tasks.model import Artifact, Label
from tasks.ports import ArtifactStore

TOLD_FROM_BYTES: Final = 200 * 2**20
Say = Callable[[str], None]


@dataclass(frozen=True)
class Brought:
    """An image that is on the engine. `reference` is the name there by which we brought it; empty if it was there."""

    image: Image
    reference: str


def bring(
    engine: Engine, artifact: Artifact, store: ArtifactStore, home: Path, say: Say
) -> Brought:
    """Have exactly this artifact on the engine. NotFoundError if nobody has it any more; CorruptError if what came is
    something else: then it is not run."""
    raw = _manifest(artifact, store, home)
    if there := _there(engine, artifact, raw):
        return Brought(there, "")
    if (packed := _packed_bytes(raw)) > TOLD_FROM_BYTES:
        say(
            f"{packed / 2**20:.0f} MB of {artifact.service} ({artifact.short}) go to the Docker engine"
        )
    reference = _pulled(engine, artifact, say) or _loaded(engine, artifact, store, raw)
    if not (found := _there(engine, artifact, raw)):
        raise CorruptError(
            f"asked for {artifact.reference} on the Docker engine; what came as {reference} is another image than its"
            " manifest names; nothing was started: see who answers for its registry, or bake it again"
        )
    return Brought(found, reference)


def ids_of(artifact: Artifact, store: ArtifactStore, home: Path) -> frozenset[str]:
    """What an engine may call its image. Errors are those of its store, if this home never started it."""
    raw = _manifest(artifact, store, home)
    return frozenset({artifact.digest, str(oci.checked_manifest(raw)["config"]["digest"])})


def _manifest(artifact: Artifact, store: ArtifactStore, home: Path) -> bytes:
    """Kept beside our things once it was read: what runs can be told, and started again, while its registry is down."""
    kept = home / "manifests" / oci.hex_of(artifact.digest)
    with suppress(OSError):
        if oci.digest_of(raw := kept.read_bytes()) == artifact.digest:
            return raw
    try:
        raw = store.manifest(artifact.digest)
    except NotFoundError as error:
        raise NotFoundError(
            f"asked to start {artifact.reference}; {error}. Nothing was started: push it there again, release another"
            " version, or name a mirror that has it in BAKEWELL_MIRRORS"
        ) from error
    if "layers" not in oci.checked_manifest(raw):
        raise RefusedError(
            f"asked to run {artifact.reference}; it is an index of several images; name the digest of one of them"
        )
    try:
        put_text(kept, raw.decode())
    except OSError as error:
        raise RefusedError(
            f"asked to keep the manifest of {artifact.short} in {kept}; found {error.strerror}; check the disk"
        ) from error
    return raw


def _there(engine: Engine, artifact: Artifact, raw: bytes) -> Image | None:
    """The image on the engine that has the manifest's configuration, whatever it is called there."""
    digests = (artifact.digest, str(oci.checked_manifest(raw)["config"]["digest"]))
    for name in digests:
        with suppress(NotFoundError), translated(f"for the image {name}"):
            found: dict[str, Any] = engine.client.api.inspect_image(name)
            if found["Id"] in digests:
                return Image(found["Id"], found.get("Config") or {})
    return None


# ---- pulling -------------------------------------------------------------------------------------


def _pulled(engine: Engine, artifact: Artifact, say: Say) -> str:
    """From its registry, else from the mirrors that $BAKEWELL_MIRRORS names, in their order; the reference of what came,
    empty if the engine got it from none of them."""
    named = os.environ.get(mirrors.VARIABLE, "").strip()
    others = mirrors.mirrors_of(artifact.repository, mirrors.parse_mirrors(named)) if named else ()
    for repository in (artifact.repository, *others):
        if repository.startswith(("layout:", "memory:")):
            continue
        try:
            return _pull(engine, repository, artifact.digest)
        except (TransientError, RefusedError) as error:
            if NO_SPACE in str(error):
                raise  # whoever else sends it will not find more
            say(f"the Docker engine got {artifact.short} not from {repository}: {error}")
    return ""


def _pull(engine: Engine, repository: str, digest: str) -> str:
    credentials = docker_login.credentials_for(repository)
    auth = dict(zip(("username", "password"), credentials, strict=True)) if credentials else {}
    reference, api = f"{repository}@{digest}", engine.client.api
    asked = f"the Docker engine to pull {reference}"
    with translated(asked):
        _raise_told(api.pull(repository, digest, stream=True, decode=True, auth_config=auth), asked)
    return reference


def _raise_told(events: Iterable[Mapping[str, Any]], asked: str) -> None:
    """The SDK never raises for what goes wrong once an answer has begun: it is told in the stream."""
    for event in events:
        detail = event.get("errorDetail") or {}
        if said := detail.get("message") or event.get("error") or event.get("message"):
            raise told_error(asked, str(said))


# ---- loading -------------------------------------------------------------------------------------


def _loaded(engine: Engine, artifact: Artifact, store: ArtifactStore, raw: bytes) -> str:
    """Through our own store. Layers that the engine has already are not sent, unless it wants them all the same."""
    absent = _layers_there(engine, artifact, store, raw)
    try:
        return _load(engine, artifact, store, raw, absent)
    except (TransientError, RefusedError):
        if not absent:
            raise
        return _load(engine, artifact, store, raw, frozenset())


def _load(
    engine: Engine, artifact: Artifact, store: ArtifactStore, raw: bytes, absent: frozenset[str]
) -> str:
    name = f"bakewell/{artifact.service}:{artifact.short}"
    asked = f"the Docker engine to load {artifact.reference}"
    with translated(asked):
        parts = docker_archive.archive(store, raw, name, absent)
        _raise_told(engine.client.api.load_image(parts), asked)
    return name


def _layers_there(
    engine: Engine, artifact: Artifact, store: ArtifactStore, raw: bytes
) -> frozenset[str]:
    """Those at its beginning that it shares with another image of the service: the classic image store takes them by what
    they are, containerd's does not."""
    manifest = oci.checked_manifest(raw)
    diffs = json.loads(store.blob(manifest["config"]["digest"]))["rootfs"]["diff_ids"]
    most, api = 0, engine.client.api
    with translated(f"the Docker engine for images of {artifact.service}"):
        for one in api.images(filters={"label": [f"{Label.SERVICE}={artifact.service}"]}):
            with suppress(docker.errors.ImageNotFound):
                there = api.inspect_image(one["Id"]).get("RootFS") or {}
                most = max(most, _shared(diffs, there.get("Layers") or []))
    return frozenset(layer["digest"] for layer in manifest["layers"][:most])


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    differ = (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    return next(differ, min(len(one), len(other)))


def _packed_bytes(raw: bytes) -> int:
    return sum(int(layer["size"]) for layer in oci.checked_manifest(raw)["layers"])
