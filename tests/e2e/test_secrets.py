"""Invariant 12: secrets are used and seen nowhere. Every secret the product can be given is planted, everything that can
go wrong with it goes wrong, and then everything that was left behind is searched."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tasks.adapters.trivy_binary import binary
from tests.adapters.test_registry_auth import USER, TokenGuard, reply, serving
from tests.e2e.conftest import Answer, Bakewell, Service, copy_of_example
from tests.support.canaries import Canaries, Watch, listen_to_starts, log_in, started, watching
from tests.support.engines import free_port, running
from tests.support.postgres import running_postgres
from tests.support.registry import running_registry
from tests.support.trivy_db import write_database

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.timeout(600)]
DONE, BAD_INPUT, STOPPED, REFUSED, NO_ANSWER = 0, 2, 3, 4, 5
NAME = "entrusted"


def _metrics_of(spec: Any) -> Any:
    return spec["environments"][0]["metrics"]


MISPLACED: list[Callable[[str, Any], None]] = [
    lambda address, spec: _metrics_of(spec).update(url=f"https://{address}"),
    lambda address, spec: _metrics_of(spec)["authentication"].update(variable=f"Bearer {address}"),
    lambda address, spec: spec.update(repository=f"{address}/x"),
    lambda address, spec: spec["bake"].update(base=f"{address}/x@sha256:{'0' * 64}"),
]


@dataclass(frozen=True)
class Entrusted(Bakewell):
    """`bakewell` with secrets in its environment."""

    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.more}

    def given(self, **more: str) -> "Entrusted":
        return replace(self, more={**self.more, **more})


@dataclass
class Story:
    """What happened, and where it left traces. `reached` names the canaries that arrived where they belong."""

    canaries: Canaries
    home: Path
    told: dict[str, Answer] = field(default_factory=dict)
    journal: str = ""
    watch: Watch = field(default_factory=Watch)
    starts: list[list[str]] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)


class Echo:
    """Answers every request with an error that repeats who asked: some servers do, when they are ill."""

    def __init__(self, story: Story, status: int = 500) -> None:
        self.story, self.status = story, status

    def __call__(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        asked = handler.headers.get("Authorization", "")
        self.story.reached |= self.story.canaries.seen_in(asked.encode())
        if not asked:
            return reply(handler, 401, WWW_Authenticate='Basic realm="echo"')
        said = f'{{"errors": [{{"message": "cannot cope with Authorization: {asked}"}}]}}'
        return reply(handler, self.status, said.encode(), Content_Type="application/json")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    home = Path(tempfile.mkdtemp(prefix="bkw-"))
    found = Story(Canaries(), home)
    try:
        with ExitStack() as stack:
            _Teller(found, tmp_path_factory.mktemp("secrets"), stack).tell()
        yield found
    finally:
        shutil.rmtree(home, ignore_errors=True)


class _Teller:
    """Runs all of it once; the tests below look at what is left."""

    def __init__(self, story: Story, folder: Path, stack: ExitStack) -> None:
        self.story, self.folder, self.stack = story, folder, stack
        self.plant = story.canaries.plant
        self.tmp = story.home / "tmp"
        self.tmp.mkdir()
        self.guarded = stack.enter_context(
            running_registry(folder / "guarded", USER, self.plant("registry password"))
        )
        self.echo = stack.enter_context(serving(Echo(story)))
        self.database = stack.enter_context(running_postgres(self.plant("journal password")))
        self.bearer = self._token_server()
        python_path, self.starts = listen_to_starts(folder)
        self.bakewell = Entrusted(story.home).given(
            TMPDIR=str(self.tmp),
            PYTHONPATH=str(python_path),
            BAKEWELL_JOURNAL=self.database,
            COSIGN_PASSWORD=self.plant("key password"),
            METRICS_TOKEN=self.plant("metrics token"),
            **self._trivy_server(),
            **self._logins("registry password"),
        )
        self.bakewell.fresh_database()

    def _logins(self, name: str) -> dict[str, str]:
        """As `docker login` writes them; `name`: the password of the guarded registry."""
        logins = {
            self.guarded.host: f"{USER}:{self.plant(name)}",
            self.bearer: f"{USER}:{self.plant('token server password')}",
            self.echo: f"{USER}:{self.plant('echoed password')}",
        }
        return log_in(self.folder / name.replace(" ", "-"), **logins)

    def _token_server(self) -> str:
        behind = self.stack.enter_context(running_registry(self.folder / "behind"))
        guard = TokenGuard(
            behind.host, self.plant("token server password"), self.plant("registry token")
        )
        guard.address = self.stack.enter_context(serving(guard.answer))
        self.guard = guard
        return guard.address

    def _trivy_server(self) -> dict[str, str]:
        cache, address = self.folder / "trivy-server", f"127.0.0.1:{free_port()}"
        write_database(cache / "db", updated_at=datetime.now(UTC))
        command: list[str | Path] = [binary(), "server", "--listen", address, "--skip-db-update"]
        token = self.plant("trivy token")
        self.stack.enter_context(
            running(
                [*command, "--cache-dir", cache],
                self.folder / "trivy-server.log",
                f"http://{address}/healthz",
                environment={"TRIVY_TOKEN": token},
            )
        )
        return {"BAKEWELL_TRIVY_SERVER": f"http://{address}", "BAKEWELL_TRIVY_TOKEN": token}

    # ---- what happens ----------------------------------------------------------------------------

    def tell(self) -> None:
        service = self._service()
        with watching(self.tmp) as self.story.watch:
            try:
                self._what_goes_well(service)
                self._bad_input(service)
                self._what_goes_wrong(service)
            finally:
                self._ask("down", "down", "--all")
        self.story.journal = self._journal()
        self.story.starts = started(self.starts)

    def _ask(self, name: str, *words: str | Path, by: Bakewell | None = None) -> Answer:
        answer = (by or self.bakewell)(*words)
        self.story.told[name] = answer
        return answer

    def _service(self) -> Service:
        """In a Git repository whose remote is written with a password, as some do."""
        service = copy_of_example(self.folder, NAME)

        def entrusted(spec: Any) -> None:
            spec["repository"] = f"{self.guarded.host}/team/{NAME}"
            spec["environments"] = [spec["environments"][1]]
            (place,) = spec["environments"]
            place["observe"] = {**place["observe"], "patience_seconds": 2.0}
            place["metrics"] = {
                "url": f"http://{self.echo}",
                "authentication": {"variable": "METRICS_TOKEN"},
                "scrape_seconds": 0.5,
            }

        service.edit(entrusted)
        remote = f"https://baker:{self.plant('git password')}@git.example.com/team/{NAME}.git"
        for words in (
            ("init", "-q"),
            ("remote", "add", "origin", remote),
            ("add", "."),
            ("-c", "user.name=b", "-c", "user.email=b@example.com", "commit", "-qm", "one"),
        ):
            subprocess.run(["git", "-C", service.folder, *words], check=True)
        return service

    def _what_goes_well(self, service: Service) -> None:
        first = self._ask("first release", "release", service.folder, "--json")
        assert first.code == DONE, first.err
        self.reference = f"{self.guarded.host}/team/{NAME}@{first.json['digest']}"
        for words in (
            ("mirror", self.reference, f"{self.bearer}/copies/{NAME}"),
            ("status", "--json"),
            ("history", "--json"),
            ("verify", self.reference),
            ("plan", str(service.folder)),
        ):
            answer = self._ask(words[0], *words)
            assert answer.code == DONE, (words, answer.err)

    def _bad_input(self, service: Service) -> None:
        """Secrets where they do not belong are refused, and not repeated."""
        address = f"x:{self.plant('in an address')}@host.example.com"
        spoilt = self.bakewell.given(BAKEWELL_MIRRORS=f"a.example={address}")
        assert self._ask("mirrors", "release", service.folder, by=spoilt).code == BAD_INPUT
        spoilt = self.bakewell.given(BAKEWELL_TRIVY_SERVER=f"http://{address}")
        self._ask("trivy address", "trivy", "status", by=spoilt)
        before = (service.folder / "service.yaml").read_text()
        for number, misplace in enumerate(MISPLACED):
            service.edit(partial(misplace, address))
            answer = self._ask(f"misplaced {number}", "release", service.folder)
            assert answer.code == BAD_INPUT, answer
            (service.folder / "service.yaml").write_text(before)

    def _what_goes_wrong(self, service: Service) -> None:
        """One secret after the other is wrong, or whoever asks for it is ill."""
        release = ("release", service.folder, "--despite-burn", "to see it")
        service.version(2)
        assert self._ask("metrics that cannot be read", *release).code == STOPPED
        service.version(3)
        for name, more in {
            "wrong trivy token": {"BAKEWELL_TRIVY_TOKEN": self.plant("wrong trivy token")},
            "wrong key password": {"COSIGN_PASSWORD": self.plant("wrong key password")},
            "wrong registry password": self._logins("wrong registry password"),
        }.items():
            answer = self._ask(name, *release, by=self.bakewell.given(**more))
            assert answer.code in (BAD_INPUT, REFUSED), (name, answer)
        echo = f"{self.echo}/x@sha256:{'0' * 64}"
        assert self._ask("echo", "verify", echo).code == NO_ANSWER
        self._journals()
        self.guarded.stop()
        service.version(4)
        assert self._ask("registry gone", *release).code == NO_ANSWER
        self._ask("heal", "status", "--heal")

    def _journals(self) -> None:
        right = self.plant("journal password")
        for name, url in {
            "wrong journal password": self.database.replace(right, self.plant("wrong password")),
            "no such journal": f"{self.database}-none",
            "journal gone": f"postgresql://x:{self.plant('journal gone')}@127.0.0.1:1/x",
            "no journal": f"nonsense://x:{self.plant('no journal')}@host/x",
        }.items():
            answer = self._ask(name, "status", by=self.bakewell.given(BAKEWELL_JOURNAL=url))
            assert answer.code in (BAD_INPUT, REFUSED, NO_ANSWER), answer

    def _journal(self) -> str:
        with closing(psycopg.connect(self.database)) as connection:
            rows = connection.execute("SELECT * FROM bakewell_events").fetchall()
        return "\n".join(map(str, rows))


# ---- what is left --------------------------------------------------------------------------------


def test_it_is_all_used(story: Story) -> None:
    """Else nothing would be proved: what never was there is not found either."""
    assert {"metrics token", "echoed password"} <= story.reached
    assert len(story.canaries.planted) >= 14
    assert "promoted" in story.told["first release"].out
    assert (
        "BAKEWELL_TRIVY_SERVER" in story.told["trivy address"].out + story.told["trivy address"].err
    )
    assert "token" in story.told["wrong trivy token"].err
    assert any("trivy" in line for line in story.watch.arguments)
    assert {Path(program).name for _, program, _ in story.starts} >= {"git", "trivy"}


def test_nothing_that_was_printed_holds_one(story: Story) -> None:
    leaks = {
        name: names
        for name, answer in story.told.items()
        if (names := story.canaries.seen_in((answer.out + answer.err).encode()))
    }
    assert leaks == {}, {name: story.told[name].err for name in leaks}


def test_no_file_of_the_home_holds_one(story: Story) -> None:
    """Prefect's database (parameters, results, logs, reports), its log and results, keys, trees, caches, instances' logs."""
    assert (story.home / "prefect" / "prefect.db").exists()
    assert story.canaries.seen_below(story.home) == {}


def test_the_journal_holds_none(story: Story) -> None:
    assert story.journal.count(NAME) > 10
    assert story.canaries.seen_in(story.journal.encode()) == set()


def test_no_argument_of_any_process_holds_one(story: Story) -> None:
    told = "\n".join([*story.watch.arguments, *(str(one) for one in story.starts)])
    assert story.canaries.seen_in(told.encode()) == set()


def test_no_file_held_one_for_a_moment(story: Story) -> None:
    assert story.watch.files
    leaks = {name for name, data in story.watch.files.items() if story.canaries.seen_in(data)}
    assert leaks == set()


def test_instances_and_their_splitter_are_given_none(story: Story) -> None:
    """What runs is somebody else's program."""
    others = {
        line: environment
        for line, environment in story.watch.environments.items()
        if environment.get("BAKEWELL_HOME") == str(story.home)
        and ("hello.py" in line or "envoy" in line.split(" ")[0])
    }
    assert any("hello.py" in line for line in others)
    leaks = {
        line: names
        for line, environment in others.items()
        if (names := story.canaries.seen_in(str(environment).encode()))
    }
    assert leaks == {}
