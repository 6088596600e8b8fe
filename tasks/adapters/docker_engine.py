"""A Docker Engine, local or remote: how it is reached, and what its errors mean here. The one place that makes a client.

Where the engine is says the environment, as for the docker command itself: DOCKER_HOST (unix://, tcp://, ssh://),
DOCKER_TLS_VERIFY and DOCKER_CERT_PATH. Only by SSH do we connect in our own way, as the SDK's two ways have their faults:
paramiko reads no known hosts but the user's own, knows no jump hosts, and is not connected anew once it was cut; its other
has no timeouts and leaves what ssh said to the terminal.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import docker
import docker.errors
import requests
import urllib3
from docker import DockerClient

from tasks.adapters import docker_ssh
from tasks.errors import NotFoundError, RefusedError, TransientError

DEFAULT_HOST: Final = "unix:///var/run/docker.sock"
ANSWER_SECONDS: Final = 60
CONNECTIONS: Final = 32
OLDEST_API: Final = "1.41"  # of Engine 20.10
NO_SPACE: Final = "no space left on device"
# The last comes from the midst of an answer that is read as it comes: a build's log.
_LOST: Final = (
    *(docker.errors.DockerException, requests.exceptions.RequestException, OSError),
    urllib3.exceptions.HTTPError,
)


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
    with translated(f"to reach the Docker engine at {shown(address)}"):
        return _connected(address, secured, os.getpid())


def forget() -> None:
    """Connect anew when an engine is asked for next."""
    _connected.cache_clear()


@cache
def _connected(address: str, secured: tuple[str, str], process: int) -> Engine:
    """Once a process: a client has connections, which a forked child must not share. `secured` decides how from_env connects."""
    parts = urlsplit(address)
    login = docker_ssh.login(address) if parts.scheme == "ssh" else None
    with closing(_client(OLDEST_API, login)) as asking:
        spoken = str(asking.version(api_version=False)["ApiVersion"])
    client = _client(spoken, login)
    client.ping()
    if login is not None:
        return Engine(address, docker_ssh.machine(login), client)
    machine = parts.hostname or "" if parts.scheme in ("tcp", "http", "https") else ""
    return Engine(address, machine, client)


def _client(version: str, login: docker_ssh.Login | None) -> DockerClient:
    """It is told the version: then it asks nothing before it was told, too, to leave what the environment says about the web
    alone (REQUESTS_CA_BUNDLE would take the place of the engine's own authority, a proxy would be asked for it)."""
    asked: dict[str, Any] = {"version": version, "timeout": ANSWER_SECONDS}
    if login is None:
        client = docker.from_env(max_pool_size=CONNECTIONS, **asked)
    else:
        client = DockerClient(base_url=DEFAULT_HOST, **asked)  # what goes to its socket is carried
        client.api.mount("http+docker://", docker_ssh.SshAdapter(login, CONNECTIONS))
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
    except _LOST as error:
        if (ended := _ssh_ended(error)) is not None:
            raise docker_ssh.told_error(asked, ended) from error
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


def _ssh_ended(error: BaseException | None) -> docker_ssh.SshEndedError | None:
    while error is not None and not isinstance(error, docker_ssh.SshEndedError):
        error = error.__cause__ or error.__context__
    return error


def _shortest(error: BaseException) -> str:
    """The innermost cause says it best: requests wraps urllib3, which wraps the socket's own words."""
    words, cause = str(error), error.__cause__ or error.__context__
    while cause is not None:
        words, cause = str(cause) or words, cause.__cause__ or cause.__context__
    return words.strip() or type(error).__name__
