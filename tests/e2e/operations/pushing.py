"""A team's forge: a bare repository that people push to, and what it says of a push, signed."""

import json
from pathlib import Path
from typing import Final

import httpx

from tasks.adapters.parts import environment_of_part
from tasks.pushes import Forge
from tests.e2e.conftest import Bakewell, Service
from tests.support.engines import free_port
from tests.support.forge import VARIABLE, repositories_yaml, repository, signed
from tests.support.repositories import git

SECRET: Final = "a secret of this test alone"


def bare_repository(folder: Path) -> Path:
    """What a forge has."""
    origin = folder / "shop.git"
    origin.mkdir()
    git(origin, "init", "--quiet", "--bare", "--initial-branch=main")
    return origin


def told_of_pushes(bakewell: Bakewell, origin: Path, folder: Path) -> Bakewell:
    """The same home, whose receiver knows that repository."""
    services = [{"service": "shop", "folder": "shop"}]
    known = repository("shop", str(origin), Forge.GITHUB, services=services)
    file = repositories_yaml(folder / "repositories.yaml", known)
    return bakewell.with_settings(
        BAKEWELL_REPOSITORIES=str(file),
        BAKEWELL_RECEIVER_PORT=str(free_port()),
        **{VARIABLE: SECRET},
    )


def receiver_of(bakewell: Bakewell) -> str:
    """The address of the installation's receiver."""
    settings = environment_of_part(bakewell.home, "receiver")
    return f"http://127.0.0.1:{settings['BAKEWELL_RECEIVER_PORT']}"


def push(service: Service, origin: Path) -> str:
    """A person's `git push`. The commit."""
    work = service.folder.parent
    if not (work / ".git").exists():
        git(work, "init", "--quiet", "--initial-branch=main")
    git(work, "add", service.name)
    git(work, "commit", "--quiet", "--message", "another version")
    git(work, "push", "--quiet", str(origin), "main")
    return git(work, "rev-parse", "HEAD").strip()


def deliver(receiver: str, origin: Path, commit: str) -> httpx.Response:
    """What GitHub says of it."""
    told = {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": commit,
        "created": True,
        "deleted": False,
        "repository": {"full_name": "team/shop", "clone_url": str(origin), "html_url": str(origin)},
        "pusher": {"name": "ada"},
        "commits": [{"id": commit, "added": [], "removed": [], "modified": ["shop/settings.json"]}],
    }
    body = json.dumps(told).encode()
    headers = {"content-type": "application/json", **signed(Forge.GITHUB, body, SECRET)}
    return httpx.post(f"{receiver}/push/shop", content=body, headers=headers)
