"""The mark beside a commit, as each forge's API wants it; asked of a server that says what it was asked."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tasks.adapters.commit_status import Mark, Told, _url, tell_forge
from tasks.errors import InvalidInputError, TransientError
from tasks.pushes import CommitStatus, Forge, PushedService, Repository, Secret

COMMIT = "a" * 40
TOLD = Told(COMMIT, "cart", Mark.SUCCESS, "r7 promoted in production", "https://ui.example.org/1")


@dataclass
class Api:
    url: str = ""
    status: int = 201
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    found = Api()
    monkeypatch.setenv("STATUS_TOKEN", "s3cret")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            found.asked.append((self.path, dict(self.headers), json.loads(raw)))
            self.send_response(found.status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def repository(forge: Forge, api: str = "", url: str = "git@host:team/sub/shop.git") -> Repository:
    return Repository(
        name="shop",
        url=url,
        forge=forge,
        secret=Secret(variable="X"),
        services=(PushedService(service="cart"),),
        status=CommitStatus(api=api, token=Secret(variable="STATUS_TOKEN")),
    )


@pytest.mark.parametrize(
    ("forge", "path", "header", "said"),
    [
        (
            Forge.GITHUB,
            f"/repos/team/sub/shop/statuses/{COMMIT}",
            ("Authorization", "Bearer s3cret"),
            {"state": "success", "context": "bakewell/cart"},
        ),
        (
            Forge.GITEA,
            f"/repos/team/sub/shop/statuses/{COMMIT}",
            ("Authorization", "token s3cret"),
            {"state": "success", "context": "bakewell/cart"},
        ),
        (
            Forge.GITLAB,
            f"/projects/team%2Fsub%2Fshop/statuses/{COMMIT}",
            ("PRIVATE-TOKEN", "s3cret"),
            {"state": "success", "name": "bakewell/cart"},
        ),
    ],
)
def test_each_forge_is_told_in_its_own_way(
    api: Api, forge: Forge, path: str, header: tuple[str, str], said: dict[str, str]
) -> None:
    assert tell_forge(repository(forge, api.url), TOLD)
    ((asked, headers, body),) = api.asked
    assert asked == path
    assert headers[header[0]] == header[1]
    assert body == {**said, "description": TOLD.said, "target_url": TOLD.link}


def test_a_long_sentence_is_cut_and_a_missing_link_left_out(api: Api) -> None:
    tell_forge(repository(Forge.GITLAB, api.url), Told(COMMIT, "cart", Mark.FAILURE, "x" * 999, ""))
    body = api.asked[0][2]
    assert len(body["description"]) == 140
    assert body["state"] == "failed"
    assert "target_url" not in body


@pytest.mark.parametrize(("status", "error"), [(500, TransientError), (403, InvalidInputError)])
def test_a_forge_that_refuses_is_told_about_without_the_token(
    api: Api, status: int, error: type[Exception]
) -> None:
    api.status = status
    with pytest.raises(error, match=str(status)) as raised:
        tell_forge(repository(Forge.GITHUB, api.url), TOLD)
    assert "s3cret" not in str(raised.value)


def test_a_forge_that_is_not_there_is_told_about(api: Api) -> None:
    with pytest.raises(TransientError, match="did not answer"):
        tell_forge(repository(Forge.GITHUB, "http://127.0.0.1:9"), TOLD)


def test_nobody_is_told_who_did_not_ask(api: Api) -> None:
    silent = repository(Forge.GITHUB, api.url).model_copy(update={"status": None})
    assert not tell_forge(silent, TOLD)
    assert api.asked == []


@pytest.mark.parametrize(
    ("forge", "url", "address"),
    [
        (Forge.GITHUB, "https://github.com/a/b.git", "https://api.github.com/repos/a/b"),
        (Forge.GITHUB, "git@ghe.example.org:a/b", "https://ghe.example.org/api/v3/repos/a/b"),
        (Forge.GITLAB, "https://gl.example.org:8443/a/b", "https://gl.example.org:8443/api/v4/"),
        (Forge.GITEA, "ssh://git@gt.example.org:22/a/b.git", "https://gt.example.org/api/v1/repos"),
    ],
)
def test_the_api_of_a_host_is_where_its_documentation_says(
    forge: Forge, url: str, address: str
) -> None:
    found = repository(forge, url=url)
    assert found.status is not None
    assert _url(found, found.status, COMMIT).startswith(address)
