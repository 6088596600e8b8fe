"""Dockerfiles baked by real engines into real stores: one digest, whoever builds; nothing is left behind."""

import gc
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import docker
import pytest

from flows.command import run
from tasks import oci
from tasks.adapters.registry import RegistryStore
from tasks.bake.bakery import Baked, bake, known_artifact
from tasks.errors import (
    CorruptError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    TransientError,
)
from tasks.ports import ArtifactStore
from tests.support.denying import denying
from tests.support.docker_engine import TestEngine, docker_engine
from tests.support.dockerfiles import (
    WRITTEN,
    busybox_base,
    docker_checkout,
    docker_service,
    layout,
)
from tests.support.engines import wait_for
from tests.support.image_layers import layers_of
from tests.support.registry import Registry, running_registry

pytestmark = pytest.mark.engine
RUNS: Final = 'CMD ["/bin/sh"]\n'


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def base(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    return busybox_base(RegistryStore(f"{registry.host}/base"), tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def engine() -> Iterator[TestEngine]:
    with docker_engine() as running:
        yield running


@dataclass(frozen=True)
class Ground:
    """A service in a folder of its own, and an engine that builds it."""

    folder: Path
    base: str
    client: Any

    def write(self, dockerfile: str) -> "Ground":
        (self.folder / "service" / "Dockerfile").write_text(dockerfile.format(base=self.base))
        return self

    def bake(self, store: ArtifactStore | None = None, **recipe: Any) -> Baked:
        into, cache = store or layout(self.folder), self.folder / "cache"
        return bake(
            docker_service(**recipe), self.folder / "service", into, cache, self.said.append
        )

    @property
    def said(self) -> list[str]:
        return _SAID.setdefault(self.folder, [])

    def left_on_the_engine(self) -> list[str]:
        tags = [tag for one in self.client.images.list() for tag in one.tags]
        return [tag for tag in tags if "staging" in tag]


_SAID: dict[Path, list[str]] = {}


@pytest.fixture
def ground(
    engine: TestEngine, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ground]:
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    docker_checkout(tmp_path / "service", WRITTEN.format(base=base))
    client = docker.DockerClient(engine.host)
    yield Ground(tmp_path, base, client)
    client.close()
    _SAID.pop(tmp_path, None)


def config_of(store: ArtifactStore, baked: Baked) -> dict[str, Any]:
    manifest = json.loads(store.manifest(baked.artifact.digest))
    return dict(json.loads(store.blob(manifest["config"]["digest"])))


# ---- what comes of it ----------------------------------------------------------------------------


def test_the_base_keeps_its_layers_and_what_stands_above_is_as_the_dockerfile_says(
    ground: Ground, registry: Registry
) -> None:
    store = RegistryStore(f"{registry.host}/first/hello")
    baked = ground.bake(store, environment={"MODE": "quiet"})
    below = json.loads(
        RegistryStore(f"{registry.host}/base").manifest(ground.base.partition("@")[2])
    )
    manifest = json.loads(store.manifest(baked.artifact.digest))
    assert manifest["layers"][: len(below["layers"])] == below["layers"]
    assert manifest["annotations"] == {
        "org.opencontainers.image.base.digest": ground.base.partition("@")[2]
    }
    config = config_of(store, baked)
    assert config["created"] == "1970-01-01T00:00:00Z"
    assert config["config"]["Cmd"] == ["/bin/httpd", "-f", "-p", "8080", "-h", "/site/www"]
    assert config["config"]["Env"][-1] == "MODE=quiet"
    assert config["config"]["User"] == "1000:1000"
    members = layers_of(store, baked)
    assert [sorted(names) for names in members] == [
        ["site", *(f"site/{name}" for name in ("here", "www"))]
        + [f"site/www/{name}" for name in ("again.html", "cgi", "index.html", "link")],
        ["site", "site/app", "site/app/run.sh"],
        ["etc", "etc/.wh.motd", "site", "site/app", "site/app/run.sh", "site/work"],
    ]
    assert members[0]["site/www/index.html"].linkname == "site/www/again.html"
    assert members[2]["site/app/run.sh"].mode == 0o700
    assert members[2]["site/work"].mode == 0o1777
    assert {one.mtime for layer in members for one in layer.values()} == {0}


def test_the_image_pulls_by_digest_and_runs(ground: Ground, registry: Registry) -> None:
    baked = ground.bake(RegistryStore(f"{registry.host}/runs/hello"))
    said = ground.client.containers.run(
        ground.client.images.pull(baked.artifact.reference),
        ["/bin/sh", "-c", "cat www/index.html here; ls -l /etc/motd /site/app/run.sh || true; pwd"],
        remove=True,
        stderr=True,
    ).decode()
    assert "hello, world\nhere" in said
    assert "/etc/motd: No such file" in said
    assert "/site" in said.splitlines()


def test_the_log_of_the_build_is_told_while_it_runs(ground: Ground) -> None:
    ground.bake(arguments={"GREETING": "good morning"})
    assert any(line.strip() == "made at build time" for line in ground.said)
    assert any("RUN ln /out/www/index.html" in line for line in ground.said)


def test_nothing_is_left_but_the_artifact(ground: Ground, registry: Registry) -> None:
    store = RegistryStore(f"{registry.host}/left/hello")
    baked = ground.bake(store)
    assert store.tags() == (f"k-{baked.content_key[:32]}",)
    assert RegistryStore(f"{registry.host}/left/hello-staging").tags() == ()
    assert ground.left_on_the_engine() == []
    assert ground.client.containers.list(all=True) == []


def test_what_killed_bakes_left_is_swept_and_what_is_another_bakes_is_not(
    ground: Ground, registry: Registry
) -> None:
    staging = f"{registry.host}/swept/hello-staging"
    image = ground.client.images.pull(ground.base)
    for tag in ("b-20200101t000000z-01", "b-20990101t000000z-02", "mine"):
        image.tag(staging, tag)
        ground.client.images.push(staging, tag)
    ground.bake(RegistryStore(f"{registry.host}/swept/hello"))
    kept = {f"{staging}:{tag}" for tag in ("b-20990101t000000z-02", "mine")}
    assert {one for one in ground.left_on_the_engine() if one.startswith(staging)} == kept
    for tag in ground.left_on_the_engine():
        ground.client.images.remove(tag)


def test_where_no_staging_repository_may_be_the_image_comes_from_the_engine(
    ground: Ground, registry: Registry
) -> None:
    direct = ground.bake(RegistryStore(f"{registry.host}/direct/hello"))
    with denying(registry.host, "-staging") as way:
        store = RegistryStore(f"{way}/denied/hello")
        baked = ground.bake(store)
        assert baked.artifact.digest == direct.artifact.digest
        assert store.resolve(baked.artifact.digest)
    assert any("saving it instead" in line for line in ground.said)
    assert ground.left_on_the_engine() == []


# ---- known inputs --------------------------------------------------------------------------------


def test_known_inputs_are_found_again_without_an_engine(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ground.bake()
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    (ground.folder / "service" / "app" / "debug.log").write_text("ignored, so it changes nothing")
    again = ground.bake()
    assert (first.reused, again.reused) == (False, True)
    assert again.artifact == first.artifact
    known = known_artifact(docker_service(), ground.folder / "service", layout(ground.folder))
    assert known == first.artifact
    (ground.folder / "service" / "app" / "run.sh").write_text("changed\n")
    with pytest.raises(TransientError, match="does not answer"):
        ground.bake()


def test_what_went_in_is_told_for_the_provenance(ground: Ground) -> None:
    found = ground.bake().materials
    assert (found.base, found.images) == (ground.base, ())
    assert [path for path, _ in found.files] == ["Dockerfile", "app/run.sh"]
    assert dict(found.builder)["dockerfile-builder"] == "buildkit"


# ---- what goes wrong -----------------------------------------------------------------------------


def test_a_step_that_fails_is_told_with_its_last_lines_and_nothing_is_stored(
    ground: Ground,
) -> None:
    ground.write("FROM {base}\nRUN echo this was first && echo and this last >&2 && false\n" + RUNS)
    with pytest.raises(RefusedError, match="and this last") as refused:
        ground.bake()
    assert "RUN echo this was first" in str(refused.value)
    assert not (ground.folder / "artifacts").exists()
    assert ground.left_on_the_engine() == []


def test_the_classic_builder_says_the_same(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    ground.write("FROM {base}\nRUN echo this was last && false\n" + RUNS)
    with pytest.raises(RefusedError, match="this was last"):
        ground.bake()


@pytest.mark.parametrize(
    ("dockerfile", "kind", "words"),
    [
        ("FROM {base}\nCOPY nothing /x\n" + RUNS, RefusedError, "nothing"),
        ("FROM {base}\nBAKE it\n" + RUNS, RefusedError, "BAKE"),
        ("FROM {base}0\n", InvalidInputError, "is not named by digest"),
        ("FROM scratch\nCOPY app /app\n", InvalidInputError, "says what to run; add CMD"),
    ],
)
def test_a_dockerfile_that_cannot_be_baked_says_why(
    ground: Ground, dockerfile: str, kind: type[Exception], words: str
) -> None:
    ground.write(dockerfile)
    with pytest.raises(kind, match=words):
        ground.bake()


def test_a_base_that_is_not_there_is_refused_before_anything_is_built(ground: Ground) -> None:
    ground.write("FROM {base}\n" + RUNS)
    path = ground.folder / "service" / "Dockerfile"
    path.write_text(path.read_text().replace(ground.base[-8:], "00000000"))
    with pytest.raises((NotFoundError, CorruptError), match="00000000"):
        ground.bake()
    assert not any("building" in line for line in ground.said)


def test_a_build_ends_with_who_asked_for_it(ground: Ground) -> None:
    ground.write("FROM {base}\nRUN echo begun && sleep 987\n" + RUNS)
    code = (
        "import sys; from pathlib import Path; from tasks.bake.bakery import bake\n"
        "from tests.support.dockerfiles import docker_service, layout\n"
        "home = Path(sys.argv[1])\n"
        "bake(docker_service(), home / 'service', layout(home), home / 'cache', lambda x: print(x, flush=True))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(ground.folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any("begun" in line for line in process.stdout if line.startswith("  "))
        process.kill()
    wait_for(lambda: not _runs("sleep 987"), 20, "the build to end")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_is_lost_in_the_middle_is_told_as_something_to_try_again(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.write("FROM {base}\nRUN echo begun && sleep 15\n" + RUNS)
    with docker_engine() as own:  # the SDK leaves its socket open when it finds nobody
        monkeypatch.setenv("DOCKER_HOST", own.host)

        def kill(line: str) -> None:
            if line.strip() == "begun":
                own.stop(signal.SIGKILL)

        folder, cache = ground.folder / "service", ground.folder / "cache"
        with pytest.raises(TransientError, match="asked to build Dockerfile"):
            bake(docker_service(), folder, layout(ground.folder), cache, kill)
    gc.collect()  # what the SDK has left is this test's, not the next one's
    assert not (ground.folder / "artifacts").exists()


def _runs(command: str) -> bool:
    told = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return command in told.splitlines()


# ---- proxies, log-ins ----------------------------------------------------------------------------


def test_steps_have_the_users_proxy_and_the_artifact_has_not(ground: Ground) -> None:
    proxy = "http://proxy.example:3128"
    (ground.folder / "docker").mkdir()
    told = {"proxies": {"default": {"httpProxy": proxy}}}
    (ground.folder / "docker" / "config.json").write_text(json.dumps(told))
    ground.write('FROM {base}\nRUN test "$http_proxy" = ' + proxy + " && touch /had-it\n" + RUNS)
    first = ground.bake()
    store = layout(ground.folder)
    assert "had-it" in layers_of(store, first)[0]
    assert proxy not in json.dumps(config_of(store, first))


# ---- is it reproducible? -------------------------------------------------------------------------


def test_the_command_tells_which_file_in_which_layer_differs(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BAKEWELL_HOME", str(ground.folder / "home"))
    told = docker_service().model_dump(mode="json", exclude_defaults=True)
    (ground.folder / "service" / "service.yaml").write_text(json.dumps(told))
    assert run(["bake", str(ground.folder / "service"), "--check"]) == 0
    assert "reproducible: baked twice" in capsys.readouterr().out
    ground.write("FROM {base}\nRUN cat /proc/uptime > /made && mkdir /x\n" + RUNS)
    assert run(["bake", str(ground.folder / "service"), "--check", "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert found["unlike"] == [{"layer": "layer 1", "path": "made", "aspects": ["content"]}]
    assert run(["bake", str(ground.folder / "service"), "--json"]) == 0
    baked = json.loads(capsys.readouterr().out)
    assert oci.is_digest(baked["digest"])
    assert baked["builder"]["dockerfile-builder"] == "buildkit"
