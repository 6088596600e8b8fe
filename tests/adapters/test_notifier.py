"""People are told: by real messages to real receivers on this machine, with every secret kept."""

import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flows import notifying
from flows.notifying import notify
from tasks import platforms
from tasks.adapters.notifier import AppriseNotifier
from tasks.adapters.notify_file import notify_settings
from tasks.errors import InvalidInputError, TransientError
from tasks.journal.events import EVERY_SERVICE, Body, EventKind, ReleaseFinished, record
from tasks.journal.line import LineStopped
from tasks.notices import Level, Notice, Target
from tests.support.engines import free_port

SECRET = "s3cr3t-token"
DEPLOYMENTS = Path(__file__).parents[2] / "deployments"
ALARM = Notice(1, "line 1", Level.ALARM, "the line was stopped by ada: smoke", "`bakewell resume`")


@dataclass
class Receiver:
    """A webhook's other end. While `ill` it answers 503."""

    port: int
    told: list[dict[str, Any]] = field(default_factory=list)
    ill: bool = False

    @property
    def address(self) -> str:
        return f"json://user:{SECRET}@127.0.0.1:{self.port}/hook"

    @property
    def titles(self) -> list[str]:
        return [one["title"] for one in self.told]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not made.ill:
                made.told.append(json.loads(body))
            self.send_response(503 if made.ill else 200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Receiver(server.server_port)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(notifying, "_MEMORIES", {})
    return tmp_path


def write(service: str, release: str, body: Body) -> None:
    record(platforms.journal(), service, "", release, body)


def restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process remembers is gone; the journal is there."""
    monkeypatch.setattr(notifying, "_MEMORIES", {})


def test_a_webhook_is_told_and_a_sick_one_asks_for_another_try(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOOK", receiver.address)
    target = Target(name="hook", variable="HOOK")
    AppriseNotifier().send(target, ALARM)
    (told,) = receiver.told
    assert (told["title"], told["type"]) == (ALARM.title, "failure")
    assert told["message"] == ALARM.text
    receiver.ill = True
    with pytest.raises(TransientError, match="did not take it") as sick:
        AppriseNotifier().send(target, ALARM)
    assert SECRET not in f"{sick.value} {caplog.text}"


def test_a_mail_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    mails: list[str] = []

    class Smtp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            """As much of RFC 5321 as one mail needs."""
            self.wfile.write(b"220 here\r\n")
            for raw in self.rfile:
                word = raw.decode()[:4].upper()
                if word == "DATA":
                    self.wfile.write(b"354 go on\r\n")
                    mails.append("".join(iter(lambda: self.rfile.readline().decode(), ".\r\n")))
                self.wfile.write(b"221 bye\r\n" if word == "QUIT" else b"250 well\r\n")
                if word == "QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Smtp) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        port = server.server_address[1]
        address = f"mailto://127.0.0.1:{port}/?from=bakewell@example.org&to=ada@example.org"
        monkeypatch.setenv("MAIL", address)
        AppriseNotifier().send(Target(name="mail", variable="MAIL"), ALARM)
        server.shutdown()
    (mail,) = mails
    assert "To: ada@example.org" in mail
    assert "stopped_by_ada" in mail.replace(" ", "_")


@pytest.mark.parametrize("address", ["", "bogus://" + SECRET, SECRET])
def test_an_address_that_nobody_understands_is_not_repeated(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOOK", address)
    with pytest.raises(InvalidInputError) as wrong:
        AppriseNotifier().send(Target(name="hook", variable="HOOK"), ALARM)
    assert SECRET not in f"{wrong.value} {caplog.text}"


def test_slack_and_pagerduty_are_understood() -> None:
    """Nobody can be reached from here: that their addresses are read is all that is tested of them."""
    import apprise

    addresses = (
        "slack://a123/b123/c1234567890123456789012/#ops",
        f"pagerduty://{'a' * 20}@{'b' * 20}",
    )
    assert all(apprise.Apprise.instantiate(one) is not None for one in addresses)


def test_a_file_and_plain_variables_say_whom_to_tell(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert notify_settings() is None
    monkeypatch.setenv("BAKEWELL_NOTIFY", "TEAM_URL, PAGER_URL")
    found = notify_settings()
    assert found is not None
    assert [(one.name, one.variable) for one in found.targets] == [
        ("team-url", "TEAM_URL"),
        ("pager-url", "PAGER_URL"),
    ]
    settings = home / "notify.yaml"
    settings.write_text(
        "targets:\n  - {name: team, file: /run/team, level: alarm, services: [a]}\n"
    )
    monkeypatch.setenv("BAKEWELL_NOTIFY", str(settings))
    found = notify_settings()
    assert found is not None
    assert found.targets[0].level is Level.ALARM


def test_the_example_is_todays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEWELL_NOTIFY", str(DEPLOYMENTS / "notify.yaml"))
    found = notify_settings()
    assert found is not None
    assert [one.name for one in found.targets] == ["team", "on-call"]


@pytest.mark.parametrize("how", ["variable", "file"])
def test_a_secret_in_a_wrong_place_is_refused_and_not_repeated(
    how: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEWELL_NOTIFY", f"slack://{SECRET}")
    if how == "file":
        settings = home / "notify.yaml"
        settings.write_text(f"targets:\n  - {{name: team, variable: 'slack://{SECRET}'}}\n")
        monkeypatch.setenv("BAKEWELL_NOTIFY", str(settings))
    with pytest.raises(InvalidInputError) as wrong:
        notify_settings()
    assert SECRET not in str(wrong.value)


def test_history_is_not_told_what_follows_is_and_no_restart_repeats_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", receiver.address)
    monkeypatch.setenv("BAKEWELL_NOTIFY", "HOOK")
    write("old", "r1", ReleaseFinished("promoted in prod"))
    assert list(notify()) == ["hook is told whatever happens from now on"]
    write(EVERY_SERVICE, "", LineStopped("smoke", "ada"))
    assert len(list(notify())) == 1
    assert list(notify()) == []
    restarted(monkeypatch)
    assert list(notify()) == []
    assert receiver.titles == ["the line was stopped by ada: smoke"]
    told = platforms.journal().events(EVERY_SERVICE)
    assert SECRET not in repr(told)
    assert sum(one.kind == EventKind.NOTIFIED for one in told) == 2


def test_one_that_does_not_answer_is_tried_again_later_and_the_others_get_theirs(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", receiver.address)
    monkeypatch.setenv("GONE", f"json://127.0.0.1:{free_port()}")
    monkeypatch.setenv("BAKEWELL_NOTIFY", "GONE,HOOK")
    assert len(list(notify())) == 2
    write("shop", "r1", ReleaseFinished("promoted in prod"))
    assert list(notify()) == ["told hook: shop r1 is promoted in prod"]
    assert list(notify()) == [], "it is left alone for a while"
    monkeypatch.setenv("GONE", receiver.address)
    restarted(monkeypatch)
    assert list(notify()) == ["told gone: shop r1 is promoted in prod"]
    assert receiver.titles == ["shop r1 is promoted in prod"] * 2


def test_after_a_long_silence_one_summary_is_told(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", receiver.address)
    monkeypatch.setenv("BAKEWELL_NOTIFY", "HOOK")
    list(notify())
    for number in range(25):
        write("shop", f"r{number}", ReleaseFinished("promoted in prod"))
    assert len(list(notify())) == 1
    assert receiver.titles == ["25 things happened: 25 info"]
    write("shop", "r99", ReleaseFinished("stopped: it burns"))
    list(notify())
    assert receiver.titles[-1] == "shop r99 stopped: it burns"
