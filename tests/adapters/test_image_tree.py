"""An image is unpacked whole or not at all, and nothing in it leads out of its folder."""

import gzip
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import oci
from tasks.adapters.image_tree import configuration, unpacked
from tasks.adapters.layout import LayoutStore
from tasks.adapters.memory_store import MemoryStore
from tasks.errors import BakewellError, CorruptError, RefusedError
from tasks.model import Artifact
from tasks.ports import ArtifactStore

Member = tuple[tarfile.TarInfo, bytes]


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **more: object
) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, len(content), 0o755
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def layer(*members: Member) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue())


def image(store: ArtifactStore, *layers: bytes) -> Artifact:
    config = oci.canonical({"architecture": "amd64", "os": "linux", "config": {}})
    descriptors = [store.put_blob(one) for one in layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": {
            "mediaType": oci.CONFIG,
            "digest": store.put_blob(config).digest,
            "size": len(config),
        },
        "layers": [
            {"mediaType": oci.LAYER, "digest": one.digest, "size": one.size} for one in descriptors
        ],
    }
    digest = store.put_manifest(json.dumps(manifest).encode())
    return Artifact("hello", digest, store.repository)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("memory:trees")


def test_layers_lie_over_one_another_and_whiteouts_hide(store: MemoryStore, tmp_path: Path) -> None:
    lower = layer(
        member("etc", kind=tarfile.DIRTYPE),
        member("etc/one", b"1"),
        member("etc/two", b"2"),
        member("var/old", b"old"),
        member("replaced", kind=tarfile.DIRTYPE),
    )
    upper = layer(
        member("etc/.wh.one"),
        member("var/new", b"new"),
        member("var/.wh..wh..opq"),
        member("replaced", b"a file now"),
        member("bin/tool", kind=tarfile.SYMTYPE, linkname="/etc/two"),
        member("hard", kind=tarfile.LNKTYPE, linkname="etc/two"),
    )
    tree = unpacked(image(store, lower, upper), store, tmp_path)
    assert not (tree / "etc/one").exists()
    assert (tree / "etc/two").read_text() == "2"
    assert [path.name for path in (tree / "var").iterdir()] == ["new"]
    assert (tree / "replaced").read_text() == "a file now"
    assert (tree / "bin/tool").read_text() == "2", "an absolute link is one from the image's root"
    assert (tree / "hard").read_text() == "2"
    assert tree.stat().st_mode & 0o222 == 0


ESCAPES: dict[str, tuple[Member, ...]] = {
    "a path upwards": (member("../evil", b"x"),),
    "a path upwards inside": (member("a/../../evil", b"x"),),
    "a link upwards": (member("link", kind=tarfile.SYMTYPE, linkname="../../evil"),),
    "a hard link upwards": (member("link", kind=tarfile.LNKTYPE, linkname="../../etc/passwd"),),
    "a link through a link upwards": (
        member("a/b/root", kind=tarfile.SYMTYPE, linkname="/"),
        member("link", kind=tarfile.SYMTYPE, linkname="a/b/root/../../secret"),
    ),
    "a whiteout of the folder above": (member(".wh..."),),
    "a whiteout of its own folder": (member("a/.wh.."),),
    "a whiteout of nothing": (member("a/.wh."),),
    "a device": (member("null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3),),
    "a pipe": (member("pipe", kind=tarfile.FIFOTYPE),),
}


@pytest.mark.parametrize("members", ESCAPES.values(), ids=ESCAPES.keys())
def test_what_leads_out_or_is_no_file_is_refused_and_leaves_nothing(
    store: MemoryStore, tmp_path: Path, members: tuple[Member, ...]
) -> None:
    trees = tmp_path / "trees"
    with pytest.raises(RefusedError, match="asked to unpack"):
        unpacked(image(store, layer(*members)), store, trees)
    assert [path.name for path in trees.iterdir()] == [".lock"]
    assert not (tmp_path / "evil").exists()


def test_a_hostile_layer_does_not_touch_what_is_beside_it(
    store: MemoryStore, tmp_path: Path
) -> None:
    good = unpacked(image(store, layer(member("file", b"x"))), store, tmp_path)
    with pytest.raises(RefusedError, match="whiteout"):
        unpacked(image(store, layer(member(".wh..."))), store, tmp_path)
    assert (good / "file").read_bytes() == b"x"


FULL = """
import resource, sys
from pathlib import Path
from tasks.adapters.image_tree import unpacked
from tasks.adapters.layout import LayoutStore
from tasks.errors import RefusedError
from tasks.model import Artifact
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
store, trees = LayoutStore(Path(sys.argv[1])), Path(sys.argv[2])
try:
    unpacked(Artifact("hello", sys.argv[3], store.repository), store, trees)
except RefusedError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_leaves_no_half_tree(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: writing fails half-way, for root too."""
    disk, trees = LayoutStore(tmp_path / "artifacts"), tmp_path / "trees"
    made = image(disk, layer(member("small", b"x"), member("large", os.urandom(200_000))))
    said = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "artifacts"), str(trees), made.digest],
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(rf"\d+ bytes packed\) into {trees}; found .*, \d+ bytes free", said.stdout)
    assert [path.name for path in trees.iterdir()] == [".lock"]
    assert (unpacked(made, disk, trees) / "large").stat().st_size == 200_000


def test_an_absolute_name_is_one_inside_the_image(store: MemoryStore, tmp_path: Path) -> None:
    tree = unpacked(image(store, layer(member("/bakewell-evil", b"x"))), store, tmp_path)
    assert (tree / "bakewell-evil").read_text() == "x"
    assert not Path("/bakewell-evil").exists()


def test_a_write_through_a_link_of_an_earlier_layer_stays_inside(
    store: MemoryStore, tmp_path: Path
) -> None:
    lower = layer(member("out", kind=tarfile.SYMTYPE, linkname="/"))
    tree = unpacked(image(store, lower, layer(member("out/file", b"x"))), store, tmp_path)
    assert (tree / "file").read_text() == "x"
    assert not Path("/file").exists()


def broken_digest(store: MemoryStore) -> Artifact:
    made = image(store, layer(member("file", b"x" * 1000)))
    manifest = json.loads(store.manifest(made.digest))
    store.tamper(manifest["layers"][0]["digest"], layer(member("file", b"y" * 1000)))
    return made


def a_name_no_system_has(store: MemoryStore) -> Artifact:
    return image(store, layer(member("file", b"x", pax_headers={"path": "a\0b"})))


def no_archive(store: MemoryStore) -> Artifact:
    return image(store, b"this is no tar at all")


def half_an_archive(store: MemoryStore) -> Artifact:
    return image(store, layer(member("file", os.urandom(100_000)))[:5000])


@pytest.mark.parametrize("make", [broken_digest, a_name_no_system_has, no_archive, half_an_archive])
def test_bytes_that_are_not_what_they_should_be_are_refused_and_leave_nothing(
    store: MemoryStore, tmp_path: Path, make: Callable[[MemoryStore], Artifact]
) -> None:
    with pytest.raises((CorruptError, BakewellError)):
        unpacked(make(store), store, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_what_a_killed_unpacker_left_is_swept_away(store: MemoryStore, tmp_path: Path) -> None:
    left = tmp_path / ".unpacking-abc" / "etc"
    left.mkdir(parents=True)
    left.chmod(0o555)
    unpacked(image(store, layer(member("file", b"x"))), store, tmp_path)
    assert not left.exists()


def test_the_configuration_is_the_images_own(store: MemoryStore) -> None:
    assert configuration(image(store, layer(member("file"))), store)["os"] == "linux"
