"""Registries that ask who we are, send us elsewhere, are ill or gone; each answer means one of our errors."""

import base64
import json
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tasks import oci
from tasks.adapters.docker_login import credentials_for
from tasks.adapters.registry import RegistryStore
from tasks.errors import (
    CorruptError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    TransientError,
)
from tests.support.registry import Registry, running_registry

USER, PASSWORD = "baker", "sourdough"
Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


@pytest.fixture(scope="module")
def open_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("open")) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("guarded"), USER, PASSWORD) as running:
        yield running


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A small HTTP server; its host:port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            answer(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _do

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:  # else its thread keeps a failed test's process for ever
            server.shutdown()
            thread.join()


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


class TokenGuard:
    """A token server, and a front before a real registry that lets only its tokens in. Each token opens its scopes only."""

    def __init__(self, behind: str, password: str = PASSWORD, token: str = "t") -> None:
        self.behind, self.address = behind, ""
        self.password, self.token = password, token
        self.client = httpx.Client(trust_env=False)
        weakref.finalize(self, self.client.close)
        self.scopes: dict[str, set[str]] = {}
        self.asked: list[tuple[str, ...]] = []

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if handler.path.startswith("/token?"):
            self._issue(handler)
        elif self._needed(handler) <= self.scopes.get(
            handler.headers.get("Authorization", ""), set()
        ):
            self._pass_on(handler, body)
        else:
            scope = " ".join(sorted(self._needed(handler)))
            realm = f'Bearer realm="http://{self.address}/token",service="bakery",scope="{scope}"'
            reply(handler, 401, b'{"errors": [{"code": "UNAUTHORIZED"}]}', WWW_Authenticate=realm)

    def _needed(self, handler: BaseHTTPRequestHandler) -> set[str]:
        url = urlsplit(handler.path)
        name = re.sub(r"/v2/(.+?)/(blobs|manifests|tags|referrers)/.*", r"\1", url.path)
        actions = "pull" if handler.command in ("GET", "HEAD") else "pull,push"
        mounted = {f"repository:{other}:pull" for other in parse_qs(url.query).get("from", ())}
        return {f"repository:{name}:{actions}"} | mounted

    def _issue(self, handler: BaseHTTPRequestHandler) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        login = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        if handler.headers.get("Authorization") != f"Basic {login}":
            return reply(handler, 401, b'{"errors": [{"code": "DENIED", "message": "who?"}]}')
        assert query["service"] == ["bakery"]
        self.asked.append(tuple(query["scope"]))
        token = f"{self.token}{len(self.asked)}"
        self.scopes[f"Bearer {token}"] = set(query["scope"])
        reply(handler, 200, json.dumps({"token": token}).encode())
        return None

    def _pass_on(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        kept = ("content-type", "content-range", "accept")
        headers = {name: text for name, text in handler.headers.items() if name.lower() in kept}
        url = f"http://{self.behind}{handler.path}"
        answer = self.client.request(handler.command, url, headers=headers, content=body)
        back = ("content-type", "location", "docker-content-digest")
        found = {name: text for name, text in answer.headers.items() if name in back}
        if "location" in found:
            found["location"] = urlsplit(found["location"])._replace(scheme="", netloc="").geturl()
        reply(handler, answer.status_code, answer.content, **found)


def image(store: RegistryStore) -> bytes:
    config = store.put_blob(b'{"config": true}')
    layers = [oci.to_json(store.put_blob(b"layer" * 100))]
    return oci.canonical({"schemaVersion": 2, "config": oci.to_json(config), "layers": layers})


# ---- who are you? --------------------------------------------------------------------------------


@pytest.mark.engine
def test_basic_credentials_open_the_registry(guarded: Registry, tmp_path: Path) -> None:
    store = RegistryStore(f"{guarded.host}/basic/one", (USER, PASSWORD))
    raw = image(store)
    assert store.resolve(store.put_manifest(raw, "a")) == oci.digest_of(raw)
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    assert RegistryStore(f"{guarded.host}/basic/one", lambda: (USER, PASSWORD)).put_blob(path).size


@pytest.mark.engine
def test_a_wrong_password_is_refused_and_not_shown(guarded: Registry) -> None:
    store = RegistryStore(f"{guarded.host}/basic/two", (USER, "secret-wrong"))
    for ask in (lambda: store.resolve("a"), lambda: store.put_blob(b"x"), store.tags):
        with pytest.raises(RefusedError, match=r"401.*wrong or expired.*docker login") as refused:
            ask()
        assert "secret-wrong" not in str(refused.value)


@pytest.mark.engine
def test_without_credentials_it_says_how_to_log_in(guarded: Registry) -> None:
    with pytest.raises(RefusedError, match=rf"none are known; run `docker login {guarded.host}`"):
        RegistryStore(f"{guarded.host}/basic/three").resolve("a")


@pytest.mark.engine
def test_bearer_tokens_are_fetched_for_each_scope_and_kept(open_registry: Registry) -> None:
    guard = TokenGuard(open_registry.host)
    with serving(guard.answer) as guard.address:
        store = RegistryStore(f"{guard.address}/bearer/one", (USER, PASSWORD))
        raw = image(store)
        assert store.manifest(store.put_manifest(raw, "a")) == raw
        assert sorted(guard.asked) == [
            ("repository:bearer/one:pull",),
            ("repository:bearer/one:pull,push",),
        ]
        guard.scopes.clear()  # all tokens expire
        assert store.resolve("a") == oci.digest_of(raw)
        assert len(guard.asked) == 3


@pytest.mark.engine
def test_a_mount_asks_for_a_token_for_both_repositories(open_registry: Registry) -> None:
    guard = TokenGuard(open_registry.host)
    with serving(guard.answer) as guard.address:
        base = RegistryStore(f"{guard.address}/bearer/base", (USER, PASSWORD))
        blob = base.put_blob(b"base layer" * 50)
        other = RegistryStore(f"{guard.address}/bearer/mounted", (USER, PASSWORD))
        assert other.mount(blob.digest, base.repository)
        assert other.blob(blob.digest) == b"base layer" * 50
        assert {"repository:bearer/base:pull", "repository:bearer/mounted:pull,push"} in [
            set(scopes) for scopes in guard.asked
        ]


@pytest.mark.engine
def test_a_token_server_that_refuses_is_named(open_registry: Registry) -> None:
    guard = TokenGuard(open_registry.host)
    with serving(guard.answer) as guard.address:
        store = RegistryStore(f"{guard.address}/bearer/two", (USER, "wrong"))
        with pytest.raises(
            RefusedError, match=r"a token from .*/token; found HTTP 401 DENIED: who\?"
        ):
            store.resolve("a")


def test_credentials_come_from_dockers_configuration(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    auth = base64.b64encode(b"me:pass:word").decode()
    config.write_text(json.dumps({"auths": {"r.example:5000": {"auth": auth}, "e.example": {}}}))
    assert credentials_for("r.example:5000/a/b", config) == ("me", "pass:word")
    assert credentials_for("e.example/a", config) is None
    assert credentials_for("other.example/a", config) is None
    assert credentials_for("r.example/a", tmp_path / "absent.json") is None
    config.write_text("{")
    with pytest.raises(RefusedError, match=r"config\.json"):
        credentials_for("r.example/a", config)


def test_credentials_come_from_a_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker-credential-jar"
    program.write_text(
        "#!/bin/sh\nread host\n"
        '[ "$host" = h.example ] && echo \'{"Username": "me", "Secret": "s"}\' && exit\n'
        '[ "$host" = n.example ] && echo "credentials not found in native keychain" && exit 1\n'
        "echo locked >&2; exit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"credsStore": "jar", "credHelpers": {"gone.example": "gone"}}))
    assert credentials_for("h.example/a", config) == ("me", "s")
    assert credentials_for("n.example/a", config) is None
    with pytest.raises(RefusedError, match="locked"):
        credentials_for("x.example/a", config)
    with pytest.raises(RefusedError, match="not installed"):
        credentials_for("gone.example/a", config)


# ---- sharing, and being elsewhere ----------------------------------------------------------------


@pytest.mark.engine
def test_a_blob_of_another_repository_is_mounted_without_sending_it(
    open_registry: Registry,
) -> None:
    base = RegistryStore(f"{open_registry.host}/mount/base")
    blob = base.put_blob(b"big base layer" * 10)
    other = RegistryStore(f"{open_registry.host}/mount/other")
    assert not other.has_blob(blob.digest)
    assert other.mount(blob.digest, base.repository)
    assert other.has_blob(blob.digest)
    assert not other.mount(f"sha256:{'1' * 64}", base.repository)
    assert not other.mount(blob.digest, "elsewhere.example/mount/base")
    assert other.put_blob(b"new", mount_from=base.repository).size == 3


def test_a_blob_that_is_elsewhere_is_followed_without_our_password() -> None:
    content = b"bytes in a bucket" * 1000
    seen: list[str | None] = []

    def bucket(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        seen.append(handler.headers.get("Authorization"))
        reply(handler, 200, content)

    with serving(bucket) as elsewhere:

        def registry(handler: BaseHTTPRequestHandler, body: bytes) -> None:
            if not handler.headers.get("Authorization"):
                return reply(handler, 401, WWW_Authenticate='Basic realm="r"')
            return reply(handler, 307, Location=f"http://{elsewhere}/bucket")

        with serving(registry) as host:
            store = RegistryStore(f"{host}/moved", (USER, PASSWORD))
            assert store.blob(oci.digest_of(content)) == content
            with pytest.raises(CorruptError, match="digest is"):
                store.blob(f"sha256:{'2' * 64}")
    assert seen == [None, None]


def test_a_registry_with_the_referrers_api_is_asked_page_by_page() -> None:
    subject = f"sha256:{'3' * 64}"

    def page(digit: str) -> bytes:
        entry = {"mediaType": oci.MANIFEST, "digest": f"sha256:{digit * 64}", "size": 1}
        return oci.canonical({"schemaVersion": 2, "manifests": [{**entry, "artifactType": digit}]})

    def registry(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if handler.command == "PUT":
            return reply(handler, 201, OCI_Subject=subject)
        if "last=" in handler.path:
            return reply(handler, 200, page("5"), Content_Type=oci.INDEX)
        link = f'</v2/api/referrers/{subject}?last=4>; rel="next"'
        return reply(handler, 200, page("4"), Content_Type=oci.INDEX, Link=link)

    with serving(registry) as host:
        store = RegistryStore(f"{host}/api")
        assert [found.artifact_type for found in store.referrers(subject)] == ["4", "5"]
        manifest = {"schemaVersion": 2, "layers": [], "config": {}, "subject": {"digest": subject}}
        store.put_manifest(oci.canonical(manifest))  # indexed by the registry: no tag is written


# ---- ill, gone, or none --------------------------------------------------------------------------


@pytest.mark.engine
def test_a_registry_that_is_down_is_transient(tmp_path: Path) -> None:
    with running_registry(tmp_path) as registry:
        store = RegistryStore(f"{registry.host}/down")
        store.put_blob(b"x")
        registry.stop()
        for ask in (lambda: store.resolve("a"), lambda: store.put_blob(b"y"), store.tags):
            with pytest.raises(TransientError, match=r"did not answer.*check that it runs"):
                ask()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, TransientError),
        (503, TransientError),
        (429, TransientError),
        (403, RefusedError),
        (400, RefusedError),
        (404, NotFoundError),
        (301, RefusedError),
    ],
)
def test_each_answer_means_one_of_our_errors(status: int, error: type[Exception]) -> None:
    body = b'{"errors": [{"code": "TOOMANY", "message": "slow down"}]}'
    with serving(lambda handler, _: reply(handler, status, body)) as host:
        store = RegistryStore(f"{host}/ill")
        with pytest.raises(error, match=rf"HTTP {status} TOOMANY: slow down") as found:
            store.manifest(f"sha256:{'0' * 64}")
        assert type(found.value) is error


def test_a_registry_that_hangs_or_breaks_off_is_transient() -> None:
    def half(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    with serving(half) as host:
        store = RegistryStore(f"{host}/half")
        for ask in (store.blob, store.manifest):
            with pytest.raises(TransientError, match="did not answer"):
                ask(f"sha256:{'0' * 64}")

    release = threading.Event()

    def hang(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        release.wait(20)

    with serving(hang) as host:
        store = RegistryStore(f"{host}/slow", timeout=httpx.Timeout(0.2))
        with pytest.raises(TransientError, match="Timeout"):
            store.resolve("a")
        release.set()


def test_what_is_no_registry_is_said() -> None:
    page = b"<html>hello</html>"
    with serving(lambda handler, _: reply(handler, 200, page, Content_Type="text/html")) as host:
        store = RegistryStore(f"{host}/none")
        with pytest.raises(RefusedError, match="is it a registry"):
            store.tags()
        with pytest.raises(CorruptError):
            store.manifest(f"sha256:{'0' * 64}")


@pytest.mark.parametrize(
    "repository",
    ["", "host", "http://host/name", "host/Name", "host/name:tag", "host/../x", "h/a b"],
)
def test_what_names_no_repository_is_refused(repository: str) -> None:
    with pytest.raises(InvalidInputError, match="host"):
        RegistryStore(repository)
