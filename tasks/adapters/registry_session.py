"""Talks to one OCI registry over HTTP: log-in (Basic, Bearer), redirects, and what its answers mean as our errors.

It never retries, except once after a log-in challenge: whoever calls knows better how long to be patient.
"""

import base64
import ipaddress
import json
import os
import re
import ssl
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import httpx

from tasks.adapters.redacting import without_secrets
from tasks.errors import (
    BakewellError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    TransientError,
)
from tasks.settings import shown_address

Credentials = tuple[str, str]
CredentialSource = Credentials | Callable[[], Credentials | None] | None
Content = bytes | Path | None

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # where httpx looks for other authorities
TIMEOUT = httpx.Timeout(60, connect=10)
TRANSIENT = {408, 425, 429}
DOCKER_HUB = {
    "docker.io": "registry-1.docker.io"
}  # the only registry whose name is not its address
_REPOSITORY = re.compile(
    r"(?P<host>\[[0-9a-fA-F:]+\](:\d+)?|[A-Za-z0-9.-]+(:\d+)?)/"
    r"(?P<name>[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*)"
)


def split_repository(repository: str) -> tuple[str, str]:
    """Host (with port) and name."""
    found = _REPOSITORY.fullmatch(repository)
    if not found:
        raise InvalidInputError(
            f"asked for the repository {shown_address(repository)}; it must be host[:port]/name with a lower-case name, "
            "without scheme, tag or digest"
        )
    return found["host"], found["name"]


def is_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


@cache
def _authorities(_certificates: tuple[str, ...]) -> ssl.SSLContext:
    """Read once: it takes longer than everything else that a look at some evidence asks of a registry."""
    return httpx.create_ssl_context()


class RegistrySession:
    """Requests to one repository's registry. http for loopback hosts, https for all others."""

    def __init__(
        self, host: str, name: str, credentials: CredentialSource, timeout: httpx.Timeout = TIMEOUT
    ) -> None:
        self.host, self.name = host, name
        self._plain = is_loopback(host)
        scheme = "http" if self._plain else "https"
        self._origin = f"{scheme}://{DOCKER_HUB.get(host, host)}"
        self._base = httpx.URL(self._origin)
        self._credentials = credentials
        self._authorizations: dict[str, str] = {}
        # A proxy from the environment cannot reach this machine's loopback.
        certificates = tuple(os.environ.get(name, "") for name in CERTIFICATES)
        self._client = httpx.Client(
            timeout=timeout, trust_env=not self._plain, verify=_authorities(certificates)
        )
        weakref.finalize(self, self._client.close)

    def url(self, path: str) -> httpx.URL:
        """`path` is below this repository: `manifests/…`, `blobs/…`."""
        return httpx.URL(f"{self._origin}/v2/{self.name}/{path}")

    def send(
        self,
        method: str,
        url: httpx.URL,
        *,
        accept: tuple[int, ...] = (),
        headers: Mapping[str, str] | None = None,
        content: Content = None,
        stream: bool = False,
        also_pull: str = "",
    ) -> httpx.Response:
        """The answer if it is a success or one of `accept`. A streamed one must be closed.

        `also_pull` names another repository that this request reads (a mount).
        """
        try:
            response = self._authorized(method, url, headers or {}, content, also_pull)
            if response.status_code not in accept and not response.is_success:
                response.read()
                raise refusal(_what(method, url), response)
            if not stream:
                response.read()
            return response
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise unreachable(_what(method, url), error) from error
        except httpx.InvalidURL as error:
            raise RefusedError(
                f"asked {_what(method, url)}; the registry answered with an address that is none ({error}); "
                "ask who runs it"
            ) from error

    def _authorized(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        content: Content,
        also_pull: str,
    ) -> httpx.Response:
        actions = "pull" if method in ("GET", "HEAD") else "pull,push"
        actions += ",delete" if method == "DELETE" and "/manifests/" in url.path else ""
        scopes = [f"repository:{self.name}:{actions}"]
        scopes += [f"repository:{also_pull}:pull"] if also_pull else []
        key = " ".join(scopes)
        known = self._authorizations.get(key)
        response = self._once(method, url, headers, content, known)
        if response.status_code != 401:
            return response
        response.read()
        authorization = self._answer_challenge(response, scopes, _what(method, url))
        if authorization is None or (authorization == known and known.startswith("Basic ")):
            return response
        self._authorizations[key] = authorization
        return self._once(method, url, headers, content, authorization)

    def _once(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        content: Content,
        authorization: str | None,
    ) -> httpx.Response:
        sent = dict(headers)
        if authorization and same_origin(url, self._base):
            sent["Authorization"] = authorization
        with _opened(content) as body:
            request = self._client.build_request(method, url, headers=sent, content=body)
            # Bytes of blobs are often elsewhere; an upload that is sent elsewhere could not be sent twice.
            reads = method in ("GET", "HEAD")
            return self._client.send(request, stream=True, follow_redirects=reads)

    def _answer_challenge(
        self, response: httpx.Response, scopes: list[str], what: str
    ) -> str | None:
        challenge = response.headers.get("www-authenticate", "")
        scheme = challenge.partition(" ")[0].lower()
        if scheme == "basic":
            user, password = self._login(what)
            return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        if scheme == "bearer":
            asked = {name.lower(): text for name, text in re.findall(r'(\w+)="([^"]*)"', challenge)}
            return "Bearer " + self._token(asked, scopes)
        return None

    def _login(self, what: str) -> Credentials:
        found = self._known_credentials()
        if found is None:
            raise RefusedError(
                f"asked {what}; the registry {self.host} wants a user and a password and none are known; "
                f"run `docker login {self.host}`, or configure credentials for it"
            )
        return found

    def _known_credentials(self) -> Credentials | None:
        return self._credentials() if callable(self._credentials) else self._credentials

    def _token(self, asked: Mapping[str, str], scopes: list[str]) -> str:
        """Distribution's token flow: ask the realm, which the challenge names, for a token for these scopes."""
        realm = self._base.join(asked.get("realm", ""))
        what = f"a token from {realm.copy_with(query=None)}"
        if realm.scheme != "https" and not self._plain:
            raise RefusedError(
                f"asked for {what}, as the registry {self.host} told us; it is not https, and the password "
                "would be readable on the way; ask who runs the registry"
            )
        wanted = asked["scope"].split(" ") if asked.get("scope") else scopes
        service = {"service": asked["service"]} if asked.get("service") else {}
        login = self._known_credentials()
        auth = httpx.BasicAuth(*login) if login else None
        answer = self._client.get(realm.copy_merge_params({**service, "scope": wanted}), auth=auth)
        if not answer.is_success:
            raise refusal(what, answer, self.host)
        return _token_in(answer, what)


def _what(method: str, url: httpx.URL) -> str:
    """A request as errors name it: without its query, which may hold what nobody should read."""
    return f"{method} {url.copy_with(query=None)}"


def _token_in(answer: httpx.Response, what: str) -> str:
    try:
        body = answer.json()
        return str(body.get("token") or body["access_token"])
    except (ValueError, KeyError, AttributeError) as error:
        raise RefusedError(
            f"asked for {what}; found no token in the answer; check the registry's token server"
        ) from error


def _opened(content: Content) -> AbstractContextManager[bytes | BinaryIO | None]:
    """A file is opened for each attempt, and sent in parts with its length."""
    return content.open("rb") if isinstance(content, Path) else nullcontext(content)


def same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def unreachable(what: str, error: Exception) -> TransientError:
    return TransientError(
        f"asked {what}; the registry did not answer ({type(error).__name__}: {error}); "
        "check that it runs and can be reached from here"
    )


def refusal(what: str, response: httpx.Response, host: str = "") -> BakewellError:
    """What a failed answer means: transient (5xx, 429, …), not found, or refused."""
    status = response.status_code
    found = f"asked {what}; found HTTP {status} {_said(response)}".rstrip()
    if status >= 500 or status in TRANSIENT:
        return TransientError(f"{found}; the registry is ill or busy: try again later")
    if status == 404:
        return NotFoundError(f"{found}; check the repository's name and the digest")
    if status == 401:
        host = host or response.url.netloc.decode()
        return RefusedError(
            f"{found}: user and password are wrong or expired; run `docker login {host}` again"
        )
    if status == 403:
        return RefusedError(
            f"{found}: this user may not do that; ask who runs the registry for the right"
        )
    if response.is_redirect:
        return RefusedError(f"{found}: sent elsewhere; give the registry's own address")
    return RefusedError(f"{found}; the registry does not take it as it is; see its log")


def _said(response: httpx.Response) -> str:
    """The registry's own error codes, messages and details, or the beginning of its text."""
    raw = without_secrets(response.content, response.request.headers)
    try:
        errors: list[dict[str, Any]] = json.loads(raw)["errors"]
        said = [
            f"{e.get('code', '')}: {e.get('message', '')} {e.get('detail') or ''}" for e in errors
        ]
        return "; ".join(text.strip() for text in said)[:400]
    except (ValueError, KeyError, TypeError, AttributeError):
        return " ".join(raw[:200].decode(errors="replace").split())
