"""The switchboard: which adapters make which platform, and where this machine keeps its things.

Adapters are imported when they are asked for: `bakewell status` must not wait for what it does not use.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import mirrors
from tasks.errors import InvalidInputError, RefusedError
from tasks.model import Environment
from tasks.ports import (
    ArtifactStore,
    Fleet,
    Inspector,
    Journal,
    Metrics,
    Notifier,
    PastMetrics,
    Prober,
    Scanner,
)
from tasks.service import ServiceSpec
from tasks.sources import PrometheusSource, Sli

if TYPE_CHECKING:
    from tasks.adapters.admissions import Admissions
    from tasks.adapters.keyring import Keyring
    from tasks.policy import PolicyInForce
    from tasks.pushes import Repositories

HOME = "BAKEWELL_HOME"
JOURNAL = "BAKEWELL_JOURNAL"
DATABASE = "BAKEWELL_TRIVY_DB"
WITHOUT_INSTANCES = "BAKEWELL_WITHOUT_INSTANCES"
"""Set where nothing may serve users: in a run's own container (deployments/work_pools), on a machine that only helps."""


@dataclass(frozen=True)
class Platform:
    """What runs instances, what counts their traffic, what asks one of them directly, and what looks for changes past us."""

    fleet: Fleet
    metrics: Metrics
    prober: Prober
    inspector: Inspector


def home() -> Path:
    """The folder of everything Bakewell keeps on this machine: $BAKEWELL_HOME, else ~/.bakewell."""
    folder = Path(os.environ.get(HOME) or Path.home() / ".bakewell").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def journal() -> Journal:
    """The journal at $BAKEWELL_JOURNAL (an SQLAlchemy URL), else SQLite in the home."""
    from tasks.adapters.journal import SqlJournal

    return SqlJournal(journal_address())


def journal_address() -> str:
    """Where the journal is: an SQLAlchemy URL. It may hold a password."""
    return os.environ.get(JOURNAL) or f"sqlite:///{home() / 'journal.db'}"


def this_owner(what: str) -> str:
    """Who holds a lease taken by this process for `what`."""
    from tasks.adapters.owner import this_owner

    return this_owner(what)


def store(repository: str) -> ArtifactStore:
    """The store that a repository string names (see `Artifact.repository`), read from the mirrors that $BAKEWELL_MIRRORS
    names for it where it does not answer or has lost what is asked for."""
    named = os.environ.get(mirrors.VARIABLE, "").strip()
    others = mirrors.mirrors_of(repository, mirrors.parse_mirrors(named)) if named else ()
    if not others:
        return plain_store(repository)
    from tasks.adapters.mirrored import MirroredStore

    return MirroredStore(plain_store(repository), [plain_store(one) for one in others])


def plain_store(repository: str) -> ArtifactStore:
    """That store alone, whoever mirrors it; with the user and password that `docker login` left for its registry."""
    from tasks.adapters import docker_login, layout, memory_store, registry

    if repository.startswith("layout:"):
        return layout.LayoutStore(Path(repository.removeprefix("layout:")))
    if repository.startswith("memory:"):
        return memory_store.store_named(repository)
    return registry.RegistryStore(repository, lambda: docker_login.credentials_for(repository))


def store_for(spec: ServiceSpec) -> ArtifactStore:
    """Where the service's artifacts go: its registry, else its OCI layout in the home."""
    return store(spec.repository or f"layout:{home() / 'artifacts' / spec.service}")


def keys() -> "Keyring":
    """The keys of this machine: made on first use, sealed with $COSIGN_PASSWORD (empty unless set, as cosign has it)."""
    from tasks.adapters.keyring import Keyring

    return Keyring(home() / "keys", _key_password())


def _key_password() -> bytes:
    """$COSIGN_PASSWORD, else what the file that $COSIGN_PASSWORD_FILE names holds, without its last line break."""
    if (given := os.environ.get("COSIGN_PASSWORD")) is not None:
        return given.encode()
    if not (named := os.environ.get("COSIGN_PASSWORD_FILE")):
        return b""
    try:
        return Path(named).read_bytes().removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise InvalidInputError(
            f"asked for the key password in the file {named} ($COSIGN_PASSWORD_FILE); found {error.strerror}; check the"
            " path and who may read it"
        ) from error


def policy(name: str) -> "PolicyInForce":
    """The policy of that name, from $BAKEWELL_POLICIES, else deployments/policies."""
    from tasks.adapters.policy_file import policies_folder, read_policy

    return read_policy(name, policies_folder())


def repositories() -> "Repositories":
    """Whose pushes release what, from $BAKEWELL_REPOSITORIES, else deployments/repositories.yaml."""
    from tasks.adapters.repositories_file import read_repositories, repositories_file

    return read_repositories(repositories_file())


def prefect_api() -> str | None:
    """The URL of Prefect's API: $PREFECT_API_URL, else that of the server which runs here; None if none does."""
    from tasks.adapters.prefect_server import API_URL, LocalPrefectServer

    return os.environ.get(API_URL) or LocalPrefectServer(home()).running()


def prefect_pages() -> str:
    """Where people look at Prefect; empty if there is no server."""
    from tasks.adapters.prefect_server import LocalPrefectServer

    return LocalPrefectServer(home()).ui_url


def admissions() -> "Admissions":
    """Those of this machine that still count."""
    from tasks.adapters.admissions import Admissions

    return Admissions(home() / "admissions")


def scanner(say: Callable[[str], None] = lambda _: None) -> Scanner:
    """Trivy, with its vulnerability database in the home. `say` hears of it when it has to wait for others' scans."""
    from tasks.adapters.trivy import TrivyScanner

    return TrivyScanner(home() / "trivy", store, say)


def notifier() -> Notifier:
    """Who tells people."""
    from tasks.adapters.notifier import AppriseNotifier

    return AppriseNotifier()


Say = Callable[[str], None]


def _process(say: Say) -> Platform:
    from tasks.adapters.envoy import EnvoyMetrics
    from tasks.adapters.probe import HttpProber
    from tasks.adapters.process import ProcessFleet
    from tasks.adapters.process_inspection import ProcessInspector

    fleet, inspector = ProcessFleet(home(), store, say), ProcessInspector(home())
    return Platform(fleet, EnvoyMetrics(home()), HttpProber(), inspector)


def _docker(say: Say) -> Platform:
    from tasks.adapters import docker
    from tasks.adapters.docker_inspection import DockerInspector
    from tasks.adapters.envoy import EnvoyMetrics
    from tasks.adapters.probe import HttpProber

    here = home()
    metrics = EnvoyMetrics(here, lambda environment: docker.memory_bytes(here, environment))
    fleet, inspector = docker.DockerFleet(here, store, say), DockerInspector(here, store)
    return Platform(fleet, metrics, HttpProber(), inspector)


def _memory(say: Say) -> Platform:
    from tasks.adapters.memory import world_named

    world = world_named(str(home()))
    return Platform(world.fleet, world.metrics, world.prober, world.inspector)


def one_look() -> AbstractContextManager[None]:
    """Meanwhile this thread sees the processes of this machine as they are now: for who reads many fleets and changes none."""
    from tasks.adapters import process_table

    return process_table.one_look()


PLATFORMS: dict[str, Callable[[Say], Platform]] = {
    "process": _process,
    "docker": _docker,
    "memory": _memory,
}
OF_THIS_MACHINE = frozenset({"process", "docker"})
"""Whose instances or splitter are processes beside ours."""


def metrics_for(
    environment: Environment, source: PrometheusSource | None = None, slis: Sequence[Sli] = ()
) -> Metrics:
    """Who counts an environment's requests: the source that its service.yaml names, else its platform."""
    platform = connect(environment.platform)
    if source is None:
        return platform.metrics
    from tasks.adapters.prometheus import PrometheusMetrics

    return PrometheusMetrics(source, platform.fleet, slis)


def past_metrics(
    environment: Environment, source: PrometheusSource, slis: Sequence[Sli] = ()
) -> PastMetrics:
    """What that source remembers of an environment."""
    from tasks.adapters.prometheus import PrometheusMetrics

    return PrometheusMetrics(source, connect(environment.platform).fleet, slis)


def connect(platform: str, say: Say = lambda _: None) -> Platform:
    """The platform of that name. Adapters open connections only when used. `say` hears what people should know and no error
    tells: that an instance had to be killed, that an image came from a mirror."""
    if platform not in PLATFORMS:
        known = ", ".join(sorted(PLATFORMS))
        raise InvalidInputError(f"platform {platform!r} is not known; known are: {known}")
    if platform in OF_THIS_MACHINE and os.environ.get(WITHOUT_INSTANCES):
        raise RefusedError(
            f"asked for the platform {platform} where nothing may serve users (${WITHOUT_INSTANCES} is set): what serves them"
            " elsewhere is not seen from here; let the machine do it on which the service's Envoy runs"
        )
    return PLATFORMS[platform](say)
