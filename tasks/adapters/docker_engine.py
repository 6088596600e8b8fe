"""A Docker Engine, local or remote: how it is reached, and what its errors mean here. The one place that makes a client.

Where the engine is says the environment, as for the docker command itself: DOCKER_HOST (unix://, tcp://, ssh://),
DOCKER_TLS_VERIFY and DOCKER_CERT_PATH.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

import docker
import docker.errors
import requests
from docker import DockerClient

from tasks.errors import NotFoundError, RefusedError, TransientError

DEFAULT_HOST: Final = "unix:///var/run/docker.sock"
ANSWER_SECONDS: Final = 60
CONNECTIONS: Final = 32
OLDEST_API: Final = "1.41"  # of Engine 20.10
NO_SPACE: Final = "no space left on device"


@dataclass(frozen=True)
class Engine:
    """`address` is the DOCKER_HOST. `machine` is where ports that it publishes are reached: empty if it runs on this
    machine, whose kernel routes to its containers without publishing anything."""

    address: str
    machine: str
    client: DockerClient


def engine() -> Engine:
    """The one that this process's environment names. RefusedError if the address is none; TransientError if nothing
    answers there."""
    address = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    secured = (
        os.environ.get("DOCKER_TLS_VERIFY", ""),
        os.environ.get("DOCKER_CERT_PATH", ""),
    )
    if address.startswith("ssh://") and find_spec("paramiko") is None:
        raise RefusedError(
            f"asked to reach the Docker engine at {shown(address)}; the package paramiko, by which the SDK speaks SSH, is not"
            " there; install it beside Bakewell (`pip install paramiko`), or reach the engine by tcp:// with TLS"
        )
    with translated(f"to reach the Docker engine at {shown(address)}"):
        return _connected(address, secured, os.getpid())


def forget() -> None:
    """Connect anew when an engine is asked for next."""
    _connected.cache_clear()


@cache
def _connected(address: str, secured: tuple[str, str], process: int) -> Engine:
    """Once a process: a client has connections, which a forked child must not share. `secured` decides how from_env connects."""
    with closing(_client(OLDEST_API)) as asking:
        spoken = str(asking.version(api_version=False)["ApiVersion"])
    client = _client(spoken)
    client.ping()
    parts = urlsplit(address)
    machine = parts.hostname or "" if parts.scheme in ("tcp", "http", "https", "ssh") else ""
    return Engine(address, machine, client)


def _client(version: str) -> DockerClient:
    """It is told the version: then it asks nothing before it was told, too, to leave what the environment says about the web
    alone (REQUESTS_CA_BUNDLE would take the place of the engine's own authority, a proxy would be asked for it)."""
    client = docker.from_env(version=version, timeout=ANSWER_SECONDS, max_pool_size=CONNECTIONS)
    client.api.trust_env = False
    return client


def shown(address: str) -> str:
    """For messages: without a user's name or password."""
    scheme, separator, place = address.partition("://")
    return f"{scheme}{separator}{place.rpartition('@')[2]}"


@contextmanager
def translated(asked: str) -> Iterator[None]:
    """Errors of the SDK become ours. `asked` completes "asked ...": what was wanted of the engine.

    NotFoundError for 404; RefusedError for any other 4xx, which the same words would meet again; else TransientError.
    """
    try:
        yield
    except docker.errors.NotFound as error:
        raise NotFoundError(f"asked {asked}; found {_said(error)}") from error
    except docker.errors.APIError as error:
        if error.is_client_error():
            raise RefusedError(f"asked {asked}; the engine answered: {_said(error)}") from error
        raise told_error(asked, _said(error)) from error
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        raise TransientError(
            f"asked {asked}; it does not answer: {_shortest(error)}; see that the engine runs and that"
            " DOCKER_HOST (now:"
            f" {shown(os.environ.get('DOCKER_HOST') or DEFAULT_HOST)}) names it, and try again"
        ) from error


def told_error(asked: str, said: str) -> TransientError | RefusedError:
    """What went wrong in the engine itself, by its own words: in an answer of status 500, or in the midst of a stream."""
    if NO_SPACE in said:
        return RefusedError(
            f"asked {asked}; the engine has no space left: {said}; free some on the disk of its data folder (`docker system"
            " df` shows what is there), then try again"
        )
    kind = NotFoundError if "not found" in said or "unknown" in said else TransientError
    return kind(f"asked {asked}; the engine answered: {said}")


def _said(error: docker.errors.APIError) -> str:
    return str(error.explanation or error).strip()


def _shortest(error: BaseException) -> str:
    """The innermost cause says it best: requests wraps urllib3, which wraps the socket's own words."""
    words, cause = str(error), error.__cause__ or error.__context__
    while cause is not None:
        words, cause = str(cause) or words, cause.__cause__ or cause.__context__
    return words.strip() or type(error).__name__
