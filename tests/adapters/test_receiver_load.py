"""A thousand pushes: Prefect is down, the receiver is killed in the middle, Prefect comes back. None is lost, none is released
twice, and nothing of another repository is."""

import asyncio
import time
from pathlib import Path
from typing import Final

import httpx
import pytest

from flows.pushbook import KINDS_OF_PUSHES
from tasks import platforms
from tasks.journal.events import body_of
from tasks.journal.pushes import PushAccepted, PushDropped
from tasks.journal.rules import verify_chain
from tasks.pushes import Forge
from tests.support.fake_prefect import FakePrefect, fake_prefect
from tests.support.forge import (
    SECRET,
    VARIABLE,
    generic_push,
    repositories_yaml,
    repository,
    signed,
)
from tests.support.receiver_process import receiver_process
from tests.support.receiving import URL, commit
from tests.support.storm import message, storm

SERVICES: Final = ("cart", "mail", "shop", "stock")
PUSHES: Final = 1_000
AT_ONCE: Final = 64
EVIL: Final = "https://git.example.org/evil/shop.git"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    services = [{"service": one, "folder": one} for one in SERVICES]
    file = repositories_yaml(
        tmp_path / "repositories.yaml", repository("team", URL, services=services)
    )
    for name, text in {
        "BAKEWELL_HOME": str(tmp_path),
        "BAKEWELL_REPOSITORIES": str(file),
        VARIABLE: SECRET,
    }.items():
        monkeypatch.setenv(name, text)
    return tmp_path


def pushed(made: str, service: str, url: str = URL, secret: str = SECRET) -> bytes:
    body = generic_push(url, made, paths=[f"{service}/x"])
    return message(body, signed(Forge.GENERIC, body, secret))


def send(url: str, count: int) -> dict[str, str]:
    """So many pushes, each tenth of them twice, and with each tenth two of who may not. The commits, with their services."""
    commits = {commit(): SERVICES[number % len(SERVICES)] for number in range(count)}
    right = [pushed(made, service) for made, service in commits.items()]
    evil = [pushed(commit(), "cart", EVIL) for _ in right[::10]]
    unsigned = [pushed(commit(), "cart", secret="x") for _ in right[::10]]
    answers = [
        one.status
        for one in asyncio.run(storm(url, [*right, *evil, *unsigned, *right[::10]], 0, AT_ONCE))
    ]
    tenth = len(evil)
    assert answers[: len(right)] == [202] * count
    assert answers[count:] == [404] * tenth + [401] * tenth + [200] * tenth
    return commits


def lines() -> list[tuple[int, str, object]]:
    found = platforms.journal().events(kinds=KINDS_OF_PUSHES)
    return [(event.sequence, event.service, body_of(event)) for event in found]


def is_delivered(prefect: FakePrefect) -> bool:
    """Runs end as fast as they are made."""
    prefect.end_all()
    bodies = [body for _, _, body in lines()]
    accepted = sum(isinstance(body, PushAccepted) for body in bodies)
    return accepted == len(prefect.runs) + sum(isinstance(body, PushDropped) for body in bodies)


def waiting(url: str) -> float:
    page = httpx.get(f"{url}/metrics", verify=False).text
    return float(page.partition("\nbakewell_pushes_pending ")[2].split()[0])


def test_no_accepted_push_is_lost_and_none_released_twice(home: Path) -> None:
    settings, log = {"BAKEWELL_RECEIVER_PER_MINUTE": "1000000"}, home / "receiver.log"
    with fake_prefect() as prefect:
        prefect.is_down, settings["PREFECT_API_URL"] = True, prefect.url
        with receiver_process(log, **settings) as receiver:
            commits = send(receiver.url, PUSHES // 2)
            receiver.kill()
        assert prefect.runs == {}
        with receiver_process(log, **settings) as receiver:
            prefect.is_down = False
            commits |= send(receiver.url, PUSHES // 2)
            deadline = time.monotonic() + 60
            while not is_delivered(prefect) and time.monotonic() < deadline:
                time.sleep(0.3)
            while (pending := waiting(receiver.url)) and time.monotonic() < deadline:
                time.sleep(0.3)
    told = [line for line in lines() if isinstance(line[2], PushAccepted)]
    accepted = {body.commit: service for _, service, body in told if isinstance(body, PushAccepted)}
    assert accepted == commits
    assert len(told) == PUSHES
    assert len(set(prefect.commits())) == len(prefect.runs) == prefect.creations
    newest = {service: body.commit for _, service, body in told if isinstance(body, PushAccepted)}
    assert set(newest.values()) <= set(prefect.commits()) <= set(commits)
    assert pending == 0
    assert verify_chain(platforms.journal().events()) is None
