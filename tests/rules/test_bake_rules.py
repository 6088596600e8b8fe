"""What an artifact is, before a byte of it is packed: members, keys, configuration, manifest."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import oci
from tasks.bake import rules
from tasks.bake.lock import LockedPackage
from tasks.bake.rules import Base, Entry, EntryKind, Layer
from tasks.errors import InvalidInputError
from tasks.model import Label
from tasks.ports import Descriptor
from tests.support.baking import service

MAIN = Entry("app/main.py", EntryKind.FILE, 0o644, "a" * 64, 10, Path("/checkout/main.py"))
PACKAGE = LockedPackage("blinker", "1.9.0", frozenset({"b" * 64}), 1)
DIGEST, OTHER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
FILES = Layer("files", Descriptor(oci.LAYER, DIGEST, 5), OTHER)
BASE_CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "created": "2024-01-01T00:00:00Z",
    "config": {
        "Env": ["PATH=/bin", "A=base"],
        "Entrypoint": ["/entry"],
        "Cmd": ["old"],
        "User": "1000",
        "Labels": {"maintainer": "m"},
        "Hostname": "noise",
    },
    "rootfs": {"type": "layers", "diff_ids": [OTHER]},
}
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
BASE_MANIFEST = {"layers": [{"mediaType": DOCKER_LAYER, "digest": OTHER, "size": 9}]}
REFERENCE = f"registry.example/python@{DIGEST}"


def key(**changes: Any) -> str:
    given_: dict[str, Any] = {
        "spec": service(),
        "entries": (MAIN,),
        "packages": (PACKAGE,),
        "interpreter": "cp311",
    }
    return rules.content_key(**{**given_, **changes})


def test_the_key_does_not_know_where_the_files_were() -> None:
    moved = replace(MAIN, origin=Path("/elsewhere/main.py"))
    assert key() == key(entries=(moved,))


def test_the_key_does_not_know_the_order_of_the_files() -> None:
    other = replace(MAIN, path="app/other.py")
    assert key(entries=(MAIN, other)) == key(entries=(other, MAIN))


def test_the_key_does_not_know_which_registry_the_base_comes_from() -> None:
    one, two = (service(base=f"{host}/python@{DIGEST}") for host in ("a.example", "b.example"))
    assert key(spec=one) == key(spec=two)


@pytest.mark.parametrize(
    "changes",
    [
        {"entries": (replace(MAIN, content="c" * 64),)},
        {"entries": (replace(MAIN, mode=0o755),)},
        {"entries": (replace(MAIN, path="app/main2.py"),)},
        {"entries": (replace(MAIN, kind=EntryKind.LINK),)},
        {"entries": ()},
        {"packages": ()},
        {"packages": (replace(PACKAGE, version="2"),)},
        {"packages": (replace(PACKAGE, sha256=frozenset({"d" * 64})),)},
        {"interpreter": "cp312"},
        {"spec": service(base=REFERENCE)},
        {"spec": service(command=["other"])},
        {"spec": service(environment={"A": "1"})},
        {"spec": service(port=81)},
        {"spec": service(health="/up")},
        {"spec": service(grace_seconds=3)},
        {"spec": service(packages="/lib")},
        {"spec": service().model_copy(update={"service": "other"})},
    ],
)
def test_whatever_changes_the_artifact_changes_the_key(changes: dict[str, Any]) -> None:
    assert key(**changes) != key()


def test_without_packages_the_interpreter_does_not_matter() -> None:
    assert key(packages=(), interpreter="cp312") == key(packages=())


def test_the_key_of_known_inputs_stays_what_it_was() -> None:
    """If this fails, artifacts baked before are no longer found: then raise BAKE_FORMAT, and say so."""
    assert key() == "4eb97ccdac7a81efed4f6ded7f72ba5709998edfb0d9a1d9ed35c0a6503f4b61"
    assert rules.key_tag(key()) == f"k-{key()[:32]}"


def test_the_configuration_says_how_it_is_run() -> None:
    spec = service(environment={"B": "2", "A": "1"}, port=9000, grace_seconds=2.5)
    run = rules.run_configuration(spec, "thekey")
    config = json.loads(rules.image_configuration(Base(), run, [FILES]))
    assert config["config"] == {
        "Cmd": ["python3", "/app/main.py"],
        "Env": ["A=1", "B=2"],
        "ExposedPorts": {"9000/tcp": {}},
        "Labels": {
            Label.SERVICE: "hello",
            Label.CONTENT_KEY: "thekey",
            Label.HEALTH: "/healthz",
            Label.GRACE_SECONDS: "2.5",
        },
        "WorkingDir": "/",
    }
    assert config["created"] == "1970-01-01T00:00:00Z"
    assert config["rootfs"]["diff_ids"] == [OTHER]
    assert rules.baked_from(config) == "thekey"


def test_the_base_shows_where_the_service_says_nothing() -> None:
    base = rules.checked_base(REFERENCE, BASE_MANIFEST, BASE_CONFIG)
    run = rules.run_configuration(service(environment={"A": "mine"}), "k")
    config = json.loads(rules.image_configuration(base, run, [FILES]))
    assert config["config"]["Env"] == ["PATH=/bin", "A=mine"]
    assert config["config"]["User"] == "1000"
    assert config["config"]["Cmd"] == ["python3", "/app/main.py"]
    assert config["config"]["Labels"]["maintainer"] == "m"
    assert not {"Entrypoint", "Hostname"} & config["config"].keys()
    assert config["rootfs"]["diff_ids"] == [OTHER, OTHER]
    assert len(config["history"]) == 2


def test_the_manifest_names_the_base_by_its_digest_only() -> None:
    base = rules.checked_base(REFERENCE, BASE_MANIFEST, BASE_CONFIG)
    manifest = json.loads(rules.image_manifest(base, b"{}", [FILES]))
    assert [layer["mediaType"] for layer in manifest["layers"]] == [oci.LAYER, oci.LAYER]
    assert manifest["annotations"] == {rules.BASE_DIGEST: DIGEST}
    assert "annotations" not in json.loads(rules.image_manifest(Base(), b"{}", [FILES]))


@pytest.mark.parametrize(
    ("manifest", "config", "problem"),
    [
        (BASE_MANIFEST, {**BASE_CONFIG, "architecture": "arm64"}, "linux/arm64"),
        (BASE_MANIFEST, {**BASE_CONFIG, "rootfs": {"diff_ids": []}}, "1 layers and 0 diff_ids"),
        (
            {"layers": [{**BASE_MANIFEST["layers"][0], "urls": ["https://example.org"]}]},
            BASE_CONFIG,
            "kept elsewhere",
        ),
    ],
)
def test_a_base_we_cannot_build_on_is_refused(
    manifest: dict[str, Any], config: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        rules.checked_base(REFERENCE, manifest, config)


def test_of_an_index_our_architecture_is_taken() -> None:
    arm = {"digest": OTHER, "platform": {"os": "linux", "architecture": "arm64"}}
    amd = {"digest": DIGEST, "platform": {"os": "linux", "architecture": "amd64"}}
    assert rules.platform_manifest({"manifests": [arm, amd]}, REFERENCE) == DIGEST
    with pytest.raises(InvalidInputError, match="linux/amd64"):
        rules.platform_manifest({"manifests": [arm]}, REFERENCE)


def test_two_things_at_one_path_are_refused() -> None:
    other = replace(MAIN, content="c" * 64, origin=Path("/checkout/other.py"))
    with pytest.raises(InvalidInputError, match=r"main\.py and .*other\.py as /app/main\.py"):
        rules.distinct([MAIN, other])


def test_a_file_where_a_folder_is_needed_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"/app/main\.py is a file"):
        rules.distinct([MAIN, replace(MAIN, path="app/main.py/inner")])


def test_from_scratch_the_folders_above_are_made() -> None:
    entries = rules.with_parents([MAIN, replace(MAIN, path="tmp/x"), rules.tmp_folder()])
    assert [(entry.path, entry.mode) for entry in entries] == [
        ("app", 0o755),
        ("app/main.py", 0o644),
        ("tmp", 0o1777),
        ("tmp/x", 0o644),
    ]


paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)


@given(st.lists(paths, max_size=8))
def test_a_folder_always_comes_before_what_is_in_it(found: list[str]) -> None:
    folders = [Entry(path, EntryKind.FOLDER, 0o755) for path in found]
    order = [entry.path for entry in rules.with_parents(folders)]
    for path in order:
        parent = path.rpartition("/")[0]
        assert not parent or order.index(parent) < order.index(path)


@pytest.mark.parametrize(
    ("link", "target", "out"),
    [
        ("a", "b", False),
        ("a/b", "../c", False),
        ("a/b", "../../c", True),
        ("a", "..", True),
        ("a", "/etc/passwd", True),
        ("a", "b/../../a", True),
        ("a/b/c", "../../d", False),
    ],
)
def test_links_must_stay_inside(link: str, target: str, out: bool) -> None:
    assert rules.leaves(link, target) is out


@pytest.mark.parametrize(
    ("mode", "baked"),
    [(0o600, 0o644), (0o664, 0o644), (0o700, 0o755), (0o6777, 0o755), (0o655, 0o644)],
)
def test_modes_are_git_s(mode: int, baked: int) -> None:
    assert rules.file_mode(mode) == baked


def test_byte_code_and_version_control_are_no_inputs() -> None:
    assert rules.is_ignored(".git", True)
    assert rules.is_ignored("__pycache__", True)
    assert rules.is_ignored("x.pyc", False)
    assert not rules.is_ignored(".gitignore", False)
    assert not rules.is_ignored("git", True)
