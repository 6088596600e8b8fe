"""Dockerfiles as people write them: what they build on, and what is refused before any engine is asked."""

from pathlib import Path
from typing import Any, Final

import pytest

from tasks.adapters.dockerfile_parser import read_dockerfile
from tasks.adapters.dockerignore import kept_paths
from tasks.bake.bakery import read_inputs
from tasks.bake.tree import read_context
from tasks.dockerfile import Images, canonical, examine, expanded
from tasks.errors import InvalidInputError
from tasks.recipes import DockerfileBake
from tests.support.dockerfiles import docker_service

ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
BASE: Final = f"registry.example/base@{ONE}"
TOOLS: Final = f"registry.example/tools@{TWO}"


def examined(tmp_path: Path, text: str, **recipe: Any) -> tuple[Images, list[str]]:
    (tmp_path / "Dockerfile").write_text(text)
    bake = DockerfileBake(dockerfile="Dockerfile", **recipe)
    images, faults = examine(*read_dockerfile(tmp_path / "Dockerfile"), bake)
    return images, [f"{one.line}: {one.text}" for one in faults]


GOOD: Final[dict[str, tuple[str, dict[str, Any], Images]]] = {
    "one stage": (f"FROM {BASE}\n", {}, Images(BASE)),
    "scratch": ("FROM scratch\nCOPY a /a\n", {}, Images("scratch")),
    "what is copied from": (
        f"FROM {TOOLS} AS tools\nFROM {BASE}\nCOPY --from=tools /a /b\nCOPY --from=0 /c /d\n",
        {},
        Images(BASE, (TOOLS,)),
    ),
    "an image that is copied from": (
        f"FROM {BASE}\nCOPY --from={TOOLS} /a /b\n",
        {},
        Images(BASE, (TOOLS,)),
    ),
    "an image that is mounted": (
        f"FROM {BASE}\nRUN --mount=type=bind,from={TOOLS},target=/t /t/make\n",
        {},
        Images(BASE, (TOOLS,)),
    ),
    "a stage on a stage": (
        f"FROM {BASE} AS Deps\nFROM deps AS last\nFROM {TOOLS}\n",
        {"target": "last"},
        Images(BASE, (TOOLS,)),
    ),
    "arguments in FROM": (
        f"ARG HOST=registry.example\nARG NAME=$HOST/base\nFROM ${{NAME}}@{ONE}\n",
        {},
        Images(BASE),
    ),
    "arguments that are given": (
        "ARG IMAGE\nFROM ${IMAGE:-scratch}\n",
        {"arguments": {"IMAGE": BASE}},
        Images(BASE),
    ),
    "a short name": (
        f"FROM python:3.12@{ONE}\n",
        {},
        Images(f"docker.io/library/python@{ONE}"),
    ),
    "a frontend by digest": (
        f"# syntax=docker/dockerfile:1@{TWO}\nFROM {BASE}\n",
        {},
        Images(BASE, (f"docker.io/docker/dockerfile@{TWO}",)),
    ),
    "a here-document that looks like instructions": (
        f"FROM {BASE}\nRUN <<EOF\nFROM debian\nEOF\n",
        {},
        Images(BASE),
    ),
    "the platform by its variable": (
        f"FROM --platform=$BUILDPLATFORM {BASE}\n",
        {},
        Images(BASE),
    ),
    "a continued line, another escape": (
        f"# escape=`\nFROM `\n  --platform=linux/amd64 `\n  {BASE} AS x\n",
        {},
        Images(BASE),
    ),
}


@pytest.mark.parametrize(("text", "recipe", "wanted"), GOOD.values(), ids=GOOD.keys())
def test_all_images_are_known_by_digest(
    tmp_path: Path, text: str, recipe: dict[str, Any], wanted: Images
) -> None:
    assert examined(tmp_path, text, **recipe) == (wanted, [])


SECRET: Final = {"secrets": {"token": {"variable": "TOKEN"}}}
FAULTS: Final[dict[str, tuple[str, dict[str, Any], str]]] = {
    "a tag": ("FROM debian:12\n", {}, "1: 'debian:12' is not named by digest"),
    "no tag": ("\nFROM debian\n", {}, "2: 'debian' is not named by digest"),
    "half a digest": ("FROM debian@sha256:12\n", {}, "1: 'debian@sha256:12' is not named by"),
    "a tag in a stage that is not used": (
        f"FROM debian AS unused\nFROM {BASE}\n",
        {},
        "1: 'debian' is not",
    ),
    "a tag that is copied from": (
        f"FROM {BASE}\n\nCOPY --from=nginx:1 /a /b\n",
        {},
        "3: 'nginx:1' is not named by digest",
    ),
    "a stage that comes later": (
        f"FROM {BASE}\nCOPY --from=later /a /b\nFROM {BASE} AS later\n",
        {},
        "2: 'later' is not named by digest",
    ),
    "a tag that is mounted": (
        f"FROM {BASE}\nRUN --mount=type=cache,from=golang,target=/go true\n",
        {},
        "2: 'golang' is not named by digest",
    ),
    "a frontend by tag": (
        f"# syntax=docker/dockerfile:1\nFROM {BASE}\n",
        {},
        "1: 'docker/dockerfile:1' is not named by digest",
    ),
    "a frontend by tag, hidden": (
        f"# a comment\n\n//syntax = evil/frontend\nFROM {BASE}\n",
        {},
        "3: 'evil/frontend' is not named by digest",
    ),
    "an argument that is a tag": (
        "ARG BASE=debian:12\nFROM $BASE\n",
        {},
        "2: 'debian:12' is not named by digest",
    ),
    "an argument that nobody gives": ("ARG BASE\nFROM $BASE\n", {}, "2: '$BASE' is not named by"),
    "no such stage": (
        f"FROM {BASE} AS one\n",
        {"target": "two"},
        "1: has no stage 'two' (`bake.target`); stages: one",
    ),
    "an argument that is not declared": (
        f"FROM {BASE}\nARG VERSION\n",
        {"arguments": {"VERSIN": "1"}},
        "1: `bake.arguments.VERSIN` is given, but there is no ARG VERSIN",
    ),
    "a declared proxy": (f"FROM {BASE}\nARG http_proxy\n", {}, "2: ARG http_proxy would bake"),
    "another platform": (
        f"FROM --platform=linux/arm64 {BASE}\n",
        {},
        "1: is for linux/arm64; artifacts are for linux/amd64",
    ),
    "an SSH agent": (
        f"FROM {BASE}\nRUN --mount=type=ssh true\n",
        {},
        "2: wants an SSH agent, which no step gets",
    ),
    "a secret without a place": (
        f"FROM {BASE}\nRUN --mount=type=secret,id=token cat /run/secrets/token\n",
        {},
        "2: the secret 'token' is wanted; name its place in `bake.secrets`",
    ),
    "a secret that nobody wants": (
        f"FROM {BASE}\nRUN --mount=type=secret,id=other true\n",
        {"secrets": {**SECRET["secrets"], "other": {"file": "x"}}},
        "1: `bake.secrets.token` is given, but no RUN --mount=type=secret,id=token",
    ),
}


@pytest.mark.parametrize(("text", "recipe", "wanted"), FAULTS.values(), ids=FAULTS.keys())
def test_each_fault_is_told_with_its_line(
    tmp_path: Path, text: str, recipe: dict[str, Any], wanted: str
) -> None:
    _, (fault,) = examined(tmp_path, text, **recipe)
    assert fault.startswith(wanted)


def test_all_faults_are_told_at_once_and_before_any_engine_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    (tmp_path / "Dockerfile").write_text("FROM debian\nCOPY --from=nginx /a /b\n")
    with pytest.raises(InvalidInputError) as refused:
        read_inputs(docker_service(), tmp_path)
    first, *lines = str(refused.value).splitlines()
    assert first == "Dockerfile has 2 faults; nothing was built"
    assert [line.partition(": ")[0] for line in lines] == [
        f"{tmp_path / 'Dockerfile'}:{number}" for number in (1, 2)
    ]
    assert "write debian@sha256:…" in lines[0]


@pytest.mark.parametrize("text", ["", "# nothing\n", "FROM a\nRUN <<EOF\nx"])
def test_what_buildkit_cannot_read_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "Dockerfile").write_text(text)
    with pytest.raises(InvalidInputError, match=r"Dockerfile: .*; correct it"):
        read_dockerfile(tmp_path / "Dockerfile")


def test_a_dockerfile_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_bytes(b"FROM \xff\n")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_dockerfile(tmp_path / "Dockerfile")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("$A", "1"),
        ("${A}x", "1x"),
        ("${B:-two}", "two"),
        ("${A:-two}", "1"),
        ("${A:+two}", "two"),
        ("${B:+two}", ""),
        (r"\$A", "$A"),
        ("a$", "a$"),
    ],
)
def test_variables_are_as_in_from(text: str, wanted: str) -> None:
    assert expanded(text, {"A": "1"}) == wanted


@pytest.mark.parametrize(
    ("short", "wanted"),
    [
        ("python", "docker.io/library/python"),
        ("team/app:1", "docker.io/team/app"),
        ("localhost/app", "localhost/app"),
        ("host:5000/app:2", "host:5000/app"),
        ("ghcr.io/a/b/c", "ghcr.io/a/b/c"),
    ],
)
def test_a_reference_has_one_spelling(short: str, wanted: str) -> None:
    assert canonical(f"{short}@{ONE}") == f"{wanted}@{ONE}"


# ---- the context ---------------------------------------------------------------------------------


def context(tmp_path: Path, ignored: str, name: str = ".dockerignore") -> list[str]:
    for path in ("Dockerfile", "a.log", "app/a.py", "app/b.log", "doc/x/y", "doc/x/keep"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / name).write_text(ignored)
    return [one.path for one in read_context(tmp_path, kept_paths(tmp_path, "Dockerfile"))]


WHOLE: Final = [
    *(
        "Dockerfile",
        "a.log",
        "app",
        "app/a.py",
        "app/b.log",
        "doc",
        "doc/x",
        "doc/x/keep",
        "doc/x/y",
    ),
]


@pytest.mark.parametrize(
    ("ignored", "gone"),
    [
        ("", set()),
        ("# app\n\n", set()),
        ("*.log\n", {"a.log"}),
        ("**/*.log\n", {"a.log", "app/b.log"}),
        ("app\n", {"app", "app/a.py", "app/b.log"}),
        ("doc\n!doc/x/keep\n", {"doc/x/y"}),
        ("Dockerfile\n.dockerignore\n", set()),
        ("*\n", set(WHOLE) - {"Dockerfile"}),
    ],
)
def test_the_context_is_what_dockerignore_leaves_and_the_dockerfile(
    tmp_path: Path, ignored: str, gone: set[str]
) -> None:
    assert context(tmp_path, ignored) == [path for path in WHOLE if path not in gone]


def test_a_dockerfile_may_have_an_ignore_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("*\n")
    found = context(tmp_path, "app\n", "Dockerfile.dockerignore")
    assert found == [path for path in WHOLE if not path.startswith("app")]


def test_a_link_that_leads_out_is_refused_unless_it_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/etc")
    with pytest.raises(InvalidInputError, match="leads to /etc, outside"):
        context(tmp_path, "")
    assert context(tmp_path, "out\n") == WHOLE
