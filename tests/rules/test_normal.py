"""What a built layer becomes: the same whatever order, times and leavings a builder gave it."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.bake.normal import (
    STAGING_LABEL,
    Member,
    MemberKind,
    is_stale_bytecode,
    layers_of_base,
    normal,
    run_settings,
)
from tasks.errors import CorruptError

FILE, FOLDER, LINK = MemberKind.FILE, MemberKind.FOLDER, MemberKind.HARD_LINK


def file(path: str, place: int = 0, size: int = 1) -> Member:
    return Member(path, FILE, 0o644, place, size=size)


def folder(path: str, mode: int = 0o755) -> Member:
    return Member(path, FOLDER, mode, 0)


def link(path: str, to: str, place: int = 0) -> Member:
    return Member(path, LINK, 0o644, place, link=to)


def paths(*members: Member, left_out: frozenset[str] = frozenset()) -> list[str]:
    return [one.path for one in normal(members, left_out).members]


# ---- order ---------------------------------------------------------------------------------------


def test_folders_come_before_what_is_in_them_and_whiteouts_before_what_is_beside_them() -> None:
    given = (file("a/+b"), file("a/.wh.x"), folder("a"), file("a/.wh..wh..opq"), file("a-b"))
    assert paths(*given) == ["a", "a/.wh..wh..opq", "a/.wh.x", "a/+b", "a-b"]


@pytest.mark.parametrize("path", ["./a/b/", "/a/b", "a//b", "a/./b"])
def test_a_path_has_one_spelling(path: str) -> None:
    assert paths(file(path)) == ["a/b"]


def test_a_path_that_leads_out_is_refused_and_the_root_is_no_member() -> None:
    with pytest.raises(CorruptError, match=r"\.\./etc"):
        normal([file("../etc/passwd")])
    assert paths(folder("./"), file("a")) == ["a"]


def test_of_one_path_twice_the_last_counts() -> None:
    (kept,) = normal([file("a", 0), file("a", 1, 7)]).members
    assert (kept.place, kept.size) == (1, 7)


# ---- hard links ----------------------------------------------------------------------------------


def test_the_first_name_is_the_file_whichever_the_builder_chose() -> None:
    one = normal([file("b", 5, 9), link("a", "b"), link("c", "a")]).members
    assert [(m.path, m.kind, m.link, m.size) for m in one] == [
        ("a", FILE, "", 9),
        ("b", LINK, "a", 0),
        ("c", LINK, "a", 0),
    ]
    assert one[0].place == 5
    other = normal([file("c", 5, 9), link("b", "c"), link("a", "./c")]).members
    assert one == other


def test_a_link_to_what_is_left_out_has_the_content_itself() -> None:
    (kept,) = normal([file("tmp/x", 3, 4), link("opt/x", "tmp/x", 8)]).members
    assert (kept.path, kept.kind, kept.place, kept.size) == ("opt/x", FILE, 3, 4)


@pytest.mark.parametrize("to", ["nowhere", "b"])
def test_a_link_to_nothing_is_refused(to: str) -> None:
    with pytest.raises(CorruptError, match="is a hard link to"):
        normal([link("a", to), link("b", "a")])


# ---- what is left out ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "var/log/dpkg.log",
        "var/log/apt/history.log",
        "var/lib/apt/lists/x_Packages",
        "var/cache/ldconfig/aux-cache",
        "var/lib/dpkg/status-old",
        "etc/passwd-",
        "tmp/build.1234",
        "root/.cache/pip/x",
        "usr/lib/__pycache__/a.cpython-311.pyc.140234",
    ],
)
def test_what_differs_each_time_and_is_of_no_use_is_left_out(path: str) -> None:
    assert paths(file(path)) == []


@pytest.mark.parametrize(
    "path",
    [
        "var/log/app.log",
        "var/lib/dpkg/status",
        "etc/passwd",
        "run/app/socket",
        "opt/tmp/x",
        "srv/root/.cache/x",
        "usr/lib/__pycache__/a.cpython-311.pyc",
        "etc/hosts.allow",
    ],
)
def test_what_may_be_of_use_is_kept(path: str) -> None:
    assert paths(file(path)) == [path]


def test_what_engines_mount_over_leaves_nothing() -> None:
    stubs = [file("etc/hosts", size=0), file("etc/resolv.conf", size=0), folder("etc")]
    assert paths(*stubs, folder("proc"), folder("sys"), folder("dev")) == []
    assert paths(file("etc/hosts", size=9), folder("etc")) == ["etc", "etc/hosts"]
    assert paths(folder("etc", 0o700)) == ["etc"]
    assert paths(folder("run"), folder("run/secrets")) == []
    assert paths(folder("run"), folder("run/secrets"), file("run/x")) == ["run", "run/x"]
    assert paths(folder("run")) == ["run"]


def test_byte_code_for_a_source_of_one_time_is_left_out_and_other_byte_code_is_kept() -> None:
    path = "app/__pycache__/a.cpython-311.pyc"
    assert is_stale_bytecode(path, b"\xa7\r\r\n\0\0\0\0")
    assert not is_stale_bytecode(path, b"\xa7\r\r\n\1\0\0\0")
    assert not is_stale_bytecode("app/a.pyc", b"\xa7\r\r\n\0\0\0\0"), "there is no source"
    assert paths(replace(file(path), stale=True)) == []


def test_a_whiteout_is_kept_unless_what_it_removes_was_left_out_below() -> None:
    below = normal([file("tmp/x"), file("tmp/y")]).left_out
    assert below == {"tmp/x", "tmp/y"}
    assert paths(file("tmp/.wh.x"), file("etc/.wh.motd"), left_out=below) == ["etc/.wh.motd"]
    assert paths(file("tmp/.wh.z"), left_out=below) == ["tmp/.wh.z"], "perhaps the base's"


def test_of_a_whiteout_only_the_name_means_something() -> None:
    docker = Member("etc/.wh.motd", FILE, 0o600, 0, owner=5)
    containerd = Member("etc/.wh.motd", FILE, 0, 0)
    assert normal([docker]).members == normal([containerd]).members


def test_capabilities_are_kept_and_what_the_builders_disk_added_is_not() -> None:
    attributes = (("trusted.overlay.origin", "x"), ("security.capability", "\1\0"))
    (kept,) = normal([replace(file("a"), attributes=attributes)]).members
    assert kept.attributes == (("security.capability", "\1\0"),)


names = st.sampled_from(
    ["a", "b", "a/b", "a/c", "tmp/x", "etc", "etc/hosts", "a/.wh.b", "./d", "d/e"]
)
files = st.builds(
    Member,
    names,
    st.sampled_from([FILE, FOLDER, MemberKind.SYMLINK]),
    st.sampled_from([0o644, 0o755, 0o1777]),
    st.integers(0, 9),
    owner=st.integers(0, 1),
    size=st.integers(0, 2),
)


@given(st.lists(files, unique_by=lambda one: one.path), st.randoms(use_true_random=False))
def test_the_order_of_a_builder_does_not_matter_and_twice_is_once(
    given_: list[Member], chance: random.Random
) -> None:
    shuffled = list(given_)
    chance.shuffle(shuffled)
    found = normal(given_)
    assert normal(shuffled) == found
    assert normal(found.members, found.left_out) == found
    assert len({one.path for one in found.members}) == len(found.members)
    for one in found.members:
        above = one.path.rpartition("/")[0]
        before = [other.path for other in found.members[: found.members.index(one)]]
        assert above in before or above not in {other.path for other in found.members}


# ---- how it is run -------------------------------------------------------------------------------

OURS = {
    "Cmd": [],
    "Env": ["A=2"],
    "ExposedPorts": {"8080/tcp": {}},
    "Labels": {"bakewell.service": "hello"},
    "WorkingDir": "/",
}


def test_the_whole_command_line_is_one_and_what_differs_from_build_to_build_is_gone() -> None:
    built = {
        "Hostname": "6f4d",
        "Image": f"sha256:{'1' * 64}",
        "Entrypoint": ["/bin/app"],
        "Cmd": ["--serve"],
        "Env": ["PATH=/bin", "A=1"],
        "Labels": {"team": "us", STAGING_LABEL: "b-1"},
        "Volumes": None,
        "OnBuild": None,
        "User": "1000",
    }
    assert run_settings(built, OURS) == {
        "Cmd": ["/bin/app", "--serve"],
        "Env": ["PATH=/bin", "A=1", "A=2"],
        "ExposedPorts": {"8080/tcp": {}},
        "Labels": {"bakewell.service": "hello", "team": "us"},
        "User": "1000",
        "WorkingDir": "/",
    }


def test_a_command_in_service_yaml_is_the_whole_command() -> None:
    built = {"Entrypoint": ["/bin/app"], "Cmd": ["--serve"], "WorkingDir": "/srv"}
    found = run_settings(built, {**OURS, "Cmd": ["/bin/other"]})
    assert (found["Cmd"], found["WorkingDir"]) == (["/bin/other"], "/srv")
    assert run_settings({}, OURS)["Cmd"] == [], "which the bake refuses"


def test_an_image_that_does_not_stand_on_the_base_is_refused() -> None:
    assert layers_of_base(["a", "b"], ["a", "b", "c"], "x") == 2
    assert layers_of_base([], [], "scratch") == 0
    for built in (["a"], ["a", "c", "b"], []):
        with pytest.raises(CorruptError, match="built on something else"):
            layers_of_base(["a", "b"], built, "x")
