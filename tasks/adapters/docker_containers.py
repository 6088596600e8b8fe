"""Containers of one environment: found by their labels, started from an image that is there, stopped and removed."""

import math
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tasks.adapters import fleet_notes, image_labels
from tasks.adapters.docker_engine import Engine, translated
from tasks.adapters.docker_reach import Reach, ahead_seconds, reach
from tasks.adapters.docker_run import (
    ContainerLabel,
    Image,
    Setting,
    asked_as,
    belongings,
    container_name,
    creation,
)
from tasks.adapters.fleet_notes import Place
from tasks.errors import NotFoundError, RefusedError, TransientError
from tasks.model import Artifact, Group

AT_ONCE: Final = 8
LINES_KEPT: Final = 2000
KILLED: Final = 137
ALIVE: Final = frozenset({"running", "paused", "restarting"})
TOLD: Final = (
    *(ContainerLabel.SERVICE, ContainerLabel.DIGEST, ContainerLabel.REPOSITORY),
    *(ContainerLabel.INSTANCE, ContainerLabel.GROUP, ContainerLabel.HEALTH),
)
Attrs = dict[str, Any]


@dataclass(frozen=True)
class StartedContainer:
    """A container of ours. `state` is the engine's word for what it does; `created_at` is by the engine's clock, and
    `started_at` the same moment by ours."""

    id: str
    name: str
    group: str
    artifact: Artifact
    address: str
    health: str
    grace_seconds: float
    started_at: datetime
    created_at: datetime
    state: str

    @property
    def alive(self) -> bool:
        return self.state in ALIVE


def find(engine: Engine, place: Place) -> list[StartedContainer]:
    """All of the environment, those that ended or never started, too; oldest first. One question, however many there are."""
    ways, ahead = reach(engine), timedelta(seconds=ahead_seconds(engine))
    marks = [f"{name}={value}" for name, value in belongings(place.home, place.environment).items()]
    with translated(f"for the containers of {place.environment.key}"):
        shown = engine.client.api.containers(all=True, filters={"label": marks})
    own = _without_copies(place, shown)
    found = [one for attrs in own if (one := _recognised(attrs, ways, ahead))]
    return sorted(found, key=lambda one: (one.created_at, one.name))


def _without_copies(place: Place, shown: Sequence[Attrs]) -> list[Attrs]:
    """An image that somebody made of a container of ours (`docker commit`) hands our labels on to whatever runs it: it runs
    another image than it says. Of those that say to be one instance only the one under its own name is; if none is, its
    name was changed."""
    honest = [attrs for attrs in shown if _runs_what_it_says(attrs)]
    named = {_says_to_be(attrs) for attrs in honest if _is_called_so(place, attrs)}
    return [
        attrs for attrs in honest if _says_to_be(attrs) not in named or _is_called_so(place, attrs)
    ]


def _runs_what_it_says(attrs: Attrs) -> bool:
    """Whoever does not say what it was started as is found out later."""
    asked = asked_as(attrs.get("Labels") or {})
    return asked is None or asked.get("Image") == attrs["ImageID"]


def _says_to_be(attrs: Attrs) -> str:
    return str((attrs.get("Labels") or {}).get(ContainerLabel.INSTANCE.value, ""))


def _is_called_so(place: Place, attrs: Attrs) -> bool:
    name = container_name(place.environment, _says_to_be(attrs))
    return f"/{name}" in (attrs.get("Names") or ())


def _recognised(attrs: Attrs, ways: Reach, ahead: timedelta) -> StartedContainer | None:
    """None if labels are missing or say what none of ours would: then it is not ours, whatever the others say."""
    labels: dict[str, str] = attrs.get("Labels") or {}
    if any(label.value not in labels for label in TOLD):
        return None
    service, digest, repository, name, group, health = (labels[label.value] for label in TOLD)
    artifact = Artifact(service, digest, repository)
    try:
        grace_seconds = image_labels.grace_seconds(labels, artifact)
    except RefusedError:  # one stranger must not keep all others from being seen
        return None
    created_at = datetime.fromtimestamp(attrs["Created"], UTC)
    return StartedContainer(
        id=attrs["Id"],
        name=name,
        group=group,
        artifact=artifact,
        address=_address(attrs, ways),
        health=health,
        grace_seconds=grace_seconds,
        started_at=created_at - ahead,
        created_at=created_at,
        state=attrs["State"],
    )


def _address(attrs: Attrs, ways: Reach) -> str:
    """Empty if it has none (yet, or any more), and while it is paused: nobody has to wait to see that it does not answer."""
    if attrs["State"] == "paused":
        return ""
    tcp = [port for port in attrs.get("Ports") or () if port.get("Type") == "tcp"]
    listening = min((port["PrivatePort"] for port in tcp), default=0)
    if ways.publish_on is not None:
        published = (
            port["PublicPort"]
            for port in tcp
            if port["PrivatePort"] == listening and port.get("PublicPort") and ":" not in port["IP"]
        )
        return f"{ways.host}:{found}" if (found := next(published, 0)) else ""
    networks = (attrs.get("NetworkSettings") or {}).get("Networks") or {}
    own = networks.get((attrs.get("HostConfig") or {}).get("NetworkMode")) or {}
    return f"{own['IPAddress']}:{listening}" if own.get("IPAddress") and listening else ""


def age_seconds(engine: Engine, one: StartedContainer) -> float:
    """By the engine's clock alone, where it is not ours: neither clock has to be right."""
    now = datetime.now(UTC) + timedelta(seconds=ahead_seconds(engine))
    return (now - one.created_at).total_seconds()


# ---- starting ------------------------------------------------------------------------------------


def start(engine: Engine, setting: Setting, group: Group, image: Image, count: int) -> list[str]:
    """That many more containers of the group; their names."""
    names = [f"{group.name}-{secrets.token_hex(3)}" for _ in range(count)]
    if names:
        with ThreadPoolExecutor(min(AT_ONCE, count)) as pool:
            list(pool.map(lambda name: _start(engine, setting, group, image, name), names))
    return names


def _start(engine: Engine, setting: Setting, group: Group, image: Image, instance: str) -> None:
    """What was made and cannot be started is removed again."""
    api, body = engine.client.api, creation(setting, group, instance, image)
    name = container_name(setting.environment, instance)
    with translated(f"to make the container {name} of {group.artifact.reference}"):
        made = api.create_container_from_config(body, name)["Id"]
    try:
        with translated(f"to start the container {name} of {group.artifact.reference}"):
            api.start(made)
    except (RefusedError, TransientError):
        with suppress(RefusedError, TransientError), translated(f"to remove {name}"):
            api.remove_container(made, v=True, force=True)
        raise


def remove_unstarted(engine: Engine, place: Place, group: str) -> None:
    """What somebody made and was killed before it started. The caller holds the environment's lock: nobody is about to."""
    for one in find(engine, place):
        if one.group == group and one.state == "created":
            remove(engine, one)


# ---- ending --------------------------------------------------------------------------------------


def stop(engine: Engine, place: Place, one: StartedContainer) -> bool:
    """SIGTERM, its grace period, SIGKILL; its log is kept, then nothing is left of it. Whether it had to be killed."""
    api = engine.client.api
    try:
        with translated(f"to stop the container of {one.name}"):
            if one.state == "paused":
                api.unpause(one.id)
            if one.alive:
                api.stop(one.id, timeout=math.ceil(one.grace_seconds))
            state = api.inspect_container(one.id)["State"]
        _keep_log(engine, place, one)
    except NotFoundError:
        return False
    remove(engine, one)
    return one.alive and state["ExitCode"] == KILLED and not state["OOMKilled"]


def remove(engine: Engine, one: StartedContainer) -> None:
    """And its anonymous volumes; nothing happens if it is gone."""
    with suppress(NotFoundError), translated(f"to remove the container of {one.name}"):
        engine.client.api.remove_container(one.id, v=True, force=True)


def remains(engine: Engine, one: StartedContainer) -> str:
    """For people; empty if nothing is left of it."""
    with suppress(NotFoundError), translated(f"whether {one.name} is gone"):
        state = engine.client.api.inspect_container(one.id)["State"]
        return f"{one.name} (container {one.id[:12]}, {state['Status']})"
    return ""


def why_ended(engine: Engine, place: Place, instance: str) -> str:
    """How one ended that nobody stopped, as the engine tells it."""
    with suppress(NotFoundError), translated(f"how {instance} ended"):
        name = container_name(place.environment, instance)
        state = engine.client.api.inspect_container(name)["State"]
        if state["OOMKilled"]:
            return (
                f"was killed because it wanted more than its {place.environment.container.memory_mb} MB of memory"
                f" (`container: memory_mb` of {place.environment.name} in service.yaml: give it more, or have it need"
                " less)"
            )
        error = f" ({state['Error']})" if state.get("Error") else ""
        return f"ended by itself with exit code {state['ExitCode']}{error}"
    return "is not there any more: somebody removed its container"


# ---- logs ----------------------------------------------------------------------------------------


def last_words(engine: Engine, place: Place, instance: str) -> str:
    """The end of its log on one line."""
    name = container_name(place.environment, instance)
    try:
        return fleet_notes.end_of(_log(engine, name, fleet_notes.LAST_LINES))
    except NotFoundError:
        return "(its container is gone)"


def _log(engine: Engine, container: str, lines: int) -> str:
    with translated(f"for the log of {container}"):
        found: bytes = engine.client.api.logs(container, stdout=True, stderr=True, tail=lines)
    return found.decode(errors="replace")


def _keep_log(engine: Engine, place: Place, one: StartedContainer) -> None:
    """Its end, beside those of others that ended: the engine's own goes with the container."""
    path = place.log(one.name)
    text = _log(engine, one.id, LINES_KEPT)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        fleet_notes.keep_newest(path.parent, set())
    except OSError as error:
        raise RefusedError(
            f"asked to keep the log of {one.name} in {path}; found {error.strerror}; check the disk, then try again"
        ) from error


def memory_bytes(engine: Engine, some: Sequence[StartedContainer]) -> dict[str, int]:
    """What each holds in memory, without what the kernel would give back at once; those that cannot tell are left out."""
    alive = [one for one in some if one.alive]
    if not alive:
        return {}
    with ThreadPoolExecutor(min(AT_ONCE, len(alive))) as pool:
        held = pool.map(lambda one: _memory_bytes(engine, one), alive)
        return {one.name: found for one, found in zip(alive, held, strict=True) if found}


def _memory_bytes(engine: Engine, one: StartedContainer) -> int:
    """Cgroup version 2 and 1 name the cache that can be dropped differently."""
    with suppress(RefusedError), translated(f"for the memory of {one.name}"):
        told = (
            engine.client.api.stats(one.id, stream=False, one_shot=True).get("memory_stats") or {}
        )
        parts = told.get("stats") or {}
        cache = parts.get("total_inactive_file", parts.get("inactive_file", 0))
        return int(max(0, told.get("usage", 0) - cache))
    return 0
