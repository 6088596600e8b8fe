"""Real layers listed, and two real images compared: what both have is not read."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from flows.comparing import compared
from flows.differences import Unknown
from tasks import platforms
from tasks.adapters.image_files import members
from tasks.adapters.layout import LayoutStore
from tasks.bake.bakery import bake
from tasks.contents import Member, MemberKind
from tasks.errors import CorruptError, InvalidInputError, NotFoundError
from tasks.model import Artifact
from tasks.oci import digest_of
from tests.support.baking import service

TWO = digest_of(b"two")


def tar_of(*infos: tuple[str, bytes, dict[str, object]]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content, more in infos:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o640
            for key, value in more.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content))
    return raw.getvalue()


LAYER = tar_of(
    ("./", b"", {"type": tarfile.DIRTYPE}),
    ("app/", b"", {"type": tarfile.DIRTYPE, "mode": 0o755}),
    ("./app/two", b"two", {"mode": 0o4755}),
    ("/app/link", b"", {"type": tarfile.SYMTYPE, "linkname": "two"}),
    ("app/hard", b"", {"type": tarfile.LNKTYPE, "linkname": "app/two"}),
    ("app/.wh.gone", b"", {}),
    ("app/sub/.wh..wh..opq", b"", {}),
    ("dev/null", b"", {"type": tarfile.CHRTYPE}),
)


@pytest.mark.parametrize("packed", [LAYER, gzip.compress(LAYER)], ids=["plain", "gzip"])
def test_every_kind_of_member_is_listed(tmp_path: Path, packed: bytes) -> None:
    store = LayoutStore(tmp_path)
    assert members(store.put_blob(packed).digest, store) == (
        Member("/app", MemberKind.FOLDER, 0o755),
        Member("/app/two", MemberKind.FILE, 0o4755, 3, TWO),
        Member("/app/link", MemberKind.LINK, target="two"),
        Member("/app/hard", MemberKind.HARD_LINK, 0o640, target="/app/two"),
        Member("/app/gone", MemberKind.WHITEOUT),
        Member("/app/sub", MemberKind.OPAQUE),
        Member("/dev/null", MemberKind.OTHER, 0o640),
    )


@pytest.mark.parametrize(
    "wrong", [b"", b"no tar at all", LAYER[:1537]], ids=["empty", "text", "cut off"]
)
def test_what_is_no_layer_is_said(tmp_path: Path, wrong: bytes) -> None:
    store = LayoutStore(tmp_path)
    with pytest.raises(CorruptError, match="no tar that can be read"):
        members(store.put_blob(wrong).digest, store)


def test_other_bytes_than_the_digests_are_noticed(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path)
    digest = store.put_blob(LAYER).digest
    (path,) = (one for one in tmp_path.rglob(digest.removeprefix("sha256:")) if one.is_file())
    path.chmod(0o644)
    path.write_bytes(LAYER.replace(b"two" + b"\0", b"owt" + b"\0"))
    with pytest.raises(CorruptError):
        members(digest, store)


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    return LayoutStore(tmp_path / "store")


def baked(store: LayoutStore, folder: Path, base: str = "scratch", **files: str) -> Artifact:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    spec = service(base=base, files={name: f"/app/{name}" for name in files})
    return bake(spec, folder, store, platforms.home() / "cache").artifact


def blob(store: LayoutStore, digest: str) -> Path:
    folder = Path(store.repository.removeprefix("layout:"))
    return folder / "blobs" / "sha256" / digest.removeprefix("sha256:")


def layers(store: LayoutStore, artifact: Artifact) -> list[str]:
    manifest = json.loads(store.manifest(artifact.digest))
    return [layer["digest"] for layer in manifest["layers"]]


def test_layers_that_both_stand_on_are_not_read_where_nothing_depends_on_them(
    store: LayoutStore, tmp_path: Path
) -> None:
    base = baked(store, tmp_path / "base", below="x" * 1000)
    one = baked(store, tmp_path / "one", base.reference, main="1")
    two = baked(store, tmp_path / "two", base.reference, main="2")
    below = layers(store, base)[0]
    assert layers(store, one)[0] == below
    blob(store, below).unlink()
    found = compared(one, two)
    assert found.shared_layers == 1
    assert [(file.path, file.before is None) for file in found.files] == [("/app/main", False)]


def test_what_hides_or_uncovers_something_below_is_compared_with_it(
    store: LayoutStore, tmp_path: Path
) -> None:
    """The second image has a file of its own where the first one shows the base's."""
    base = baked(store, tmp_path / "base", conf="base", other="x")
    one = baked(store, tmp_path / "one", base.reference, main="1")
    two = baked(store, tmp_path / "two", base.reference, main="1", conf="two!")
    (changed,) = compared(one, two).files
    assert changed.path == "/app/conf"
    assert changed.before is not None
    assert changed.after is not None
    assert (changed.before.size, changed.after.size) == (4, 4)
    blob(store, layers(store, base)[0]).unlink()
    with pytest.raises(NotFoundError):
        compared(one, two)


def test_what_nobody_attested_cannot_be_compared_and_says_so(
    store: LayoutStore, tmp_path: Path
) -> None:
    found = compared(
        baked(store, tmp_path / "one", main="1"), baked(store, tmp_path / "two", main="2")
    )
    assert isinstance(found.packages, Unknown)
    assert isinstance(found.vulnerabilities, Unknown)
    assert len(found.files) == 1


def test_an_index_is_not_one_image(store: LayoutStore, tmp_path: Path) -> None:
    one = baked(store, tmp_path / "one", main="1")
    raw = (
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    )
    index = Artifact("hello", store.put_manifest(raw), store.repository)
    with pytest.raises(InvalidInputError, match="index of several images"):
        compared(one, index)
