"""What somebody changed past us on a Docker engine: asked of the engine, and of Envoy, whose files are here.

However many containers there are, three lists tell who is there and what was done; each container then costs two questions,
several at a time.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tasks.adapters import docker_containers, docker_events, docker_images, docker_marks
from tasks.adapters.docker_containers import StartedContainer
from tasks.adapters.docker_engine import Engine, engine, translated
from tasks.adapters.docker_networks import network_name
from tasks.adapters.docker_run import belongings
from tasks.adapters.envoy import proxy_of
from tasks.adapters.envoy_inspection import splitter_seen
from tasks.adapters.fleet_notes import Place
from tasks.errors import BakewellError, NotFoundError
from tasks.inspection import (
    Aspect,
    Condition,
    Deed,
    Inspection,
    InstanceSeen,
    NotLooked,
    Stranger,
)
from tasks.model import Artifact, Environment
from tasks.ports import ArtifactStore

AT_ONCE: Final = 16
Attrs = dict[str, Any]


class DockerInspector:
    """Fits ports.Inspector."""

    def __init__(self, home: Path, open_store: Callable[[str], ArtifactStore]) -> None:
        self._home = home
        self._open_store = open_store

    def look(self, environment: Environment) -> Inspection:
        here, place = engine(), Place(self._home, environment)
        found = docker_containers.find(here, place)
        images, blind = self._images(found)
        seen = _each(here, found, images)
        deeds, known_from, unheard = _deeds(here, place, found)
        strangers, unmet = _strangers(here, place, found)
        return Inspection(
            datetime.now(UTC),
            tuple(one for one in seen if one),
            deeds,
            known_from,
            strangers,
            splitter_seen(proxy_of(self._home, environment), place.folder / "envoy"),
            (*blind, *unheard, *unmet),
        )

    def _images(
        self, found: Sequence[StartedContainer]
    ) -> tuple[dict[Artifact, frozenset[str]], list[NotLooked]]:
        """What the engine may call the image of each artifact; what cannot be told is no image of it."""
        known, blind = {}, []
        for artifact in {one.artifact for one in found}:
            try:
                store = self._open_store(artifact.repository)
                known[artifact] = docker_images.ids_of(artifact, store, self._home)
            except BakewellError as error:
                reason = f"the manifest of {artifact.short} could not be read: {error}"
                blind += [
                    NotLooked(Aspect.IMAGES, reason, one.name)
                    for one in found
                    if one.artifact == artifact
                ]
        return known, blind


def _each(
    here: Engine, found: Sequence[StartedContainer], images: dict[Artifact, frozenset[str]]
) -> list[InstanceSeen | None]:
    if not found:
        return []
    with ThreadPoolExecutor(min(AT_ONCE, len(found))) as pool:
        return list(pool.map(lambda one: _seen(here, one, images.get(one.artifact)), found))


def _seen(
    here: Engine, one: StartedContainer, images: frozenset[str] | None
) -> InstanceSeen | None:
    """None if it went meanwhile. Files of what has ended are not asked for: it is replaced anyway."""
    api = here.client.api
    with suppress(NotFoundError), translated(f"what {one.name} is"):
        attrs = api.inspect_container(one.id)
        seen = docker_marks.seen(attrs, one.name, one.group, one.artifact.digest)
        if images is not None and attrs["Image"] not in images:
            seen = replace(seen, other_image=f"the image {attrs['Image']}")
        if seen.condition is Condition.ENDED:
            return seen
        return replace(seen, files=docker_marks.changed_files(api.diff(one.id), attrs))
    return None


# ---- what was done -------------------------------------------------------------------------------


def _deeds(
    here: Engine, place: Place, found: Sequence[StartedContainer]
) -> tuple[tuple[Deed, ...], datetime | None, list[NotLooked]]:
    """Everything the engine still knows: what was seen before is remembered in the journal."""
    try:
        events, now = _events(here)
    except BakewellError as error:
        return (), None, [NotLooked(Aspect.DEEDS, str(error))]
    containers = {one.id: (one.name, one.group) for one in found}
    done = docker_events.deeds(events, containers, belongings(place.home, place.environment))
    return done, docker_events.known_from(events, now), []


def _events(here: Engine) -> tuple[list[Attrs], datetime]:
    """Until now by the engine's clock: of a moment to come it would wait for it."""
    with translated("for what was done to containers"):
        now = datetime.now(UTC)
        if here.machine:
            now = datetime.fromisoformat(here.client.api.info()["SystemTime"])
        until = f"{now.timestamp():.6f}"
        stream = here.client.api.events(since=1, until=until, decode=True)
        return [one for one in stream if one.get("Type") in ("container", "network")], now


# ---- who else is there ---------------------------------------------------------------------------


def _strangers(
    here: Engine, place: Place, found: Sequence[StartedContainer]
) -> tuple[tuple[Stranger, ...], list[NotLooked]]:
    """Whoever is in the environment's network, or carries its labels, and is no instance of it."""
    network, ours = network_name(place), {one.id for one in found}
    marks = [f"{name}={value}" for name, value in belongings(place.home, place.environment).items()]
    try:
        with translated(f"who is in the network {network}"):
            api = here.client.api
            inside = api.containers(all=True, filters={"network": network})
            marked = api.containers(all=True, filters={"label": marks})
    except BakewellError as error:
        return (), [NotLooked(Aspect.NETWORK, str(error))]
    there = {one["Id"] for one in inside}
    others = {one["Id"]: one for one in (*inside, *marked) if one["Id"] not in ours}
    return tuple(_stranger(one, network, id in there) for id, one in others.items()), []


def _stranger(attrs: Attrs, network: str, is_inside: bool) -> Stranger:
    name = (attrs.get("Names") or [attrs["Id"][:12]])[0].lstrip("/")
    leave = f"docker network disconnect -f {network} {name}"
    what = f"the image {attrs['Image']}, {attrs['State']}"
    if not is_inside:
        what += ", with labels of this environment"
    since = datetime.fromtimestamp(attrs["Created"], UTC)
    return Stranger(name, what, since, leave if is_inside else f"docker rm -f {name}")
