"""The embedded store on bad days: full disks, killed writers, two processes, foreign or broken files."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks import oci
from tasks.adapters.layout import LayoutStore
from tasks.errors import CorruptError, InvalidInputError, RefusedError

WRITER = """
import sys
from pathlib import Path
from tasks import oci
from tasks.adapters.layout import LayoutStore
store, name = LayoutStore(Path(sys.argv[1])), sys.argv[2]
for number in range(int(sys.argv[3])):
    config = store.put_blob(f"{name}-{number}".encode())
    manifest = {"schemaVersion": 2, "config": oci.to_json(config), "layers": []}
    store.put_manifest(oci.canonical(manifest), f"{name}-{number}")
    print(number, flush=True)
"""


def manifest(store: LayoutStore, word: bytes) -> bytes:
    config = store.put_blob(word)
    return oci.canonical({"schemaVersion": 2, "config": oci.to_json(config), "layers": []})


def start_writer(folder: Path, name: str, times: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", WRITER, str(folder), name, str(times)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def whole(folder: Path) -> bool:
    """Every blob has its digest, and index.json names only what is there."""
    blobs = folder / "blobs" / "sha256"
    index = json.loads((folder / "index.json").read_bytes())
    named = all((blobs / oci.hex_of(entry["digest"])).is_file() for entry in index["manifests"])
    return named and all(
        oci.digest_of(path.read_bytes()) == f"sha256:{path.name}" for path in blobs.iterdir()
    )


def test_two_processes_lose_none_of_each_others_tags(tmp_path: Path) -> None:
    writers = [start_writer(tmp_path, name, 25) for name in ("a", "b")]
    for writer in writers:
        writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert len(LayoutStore(tmp_path).tags()) == 50
    assert whole(tmp_path)


def test_a_killed_writer_leaves_a_whole_store_that_goes_on(tmp_path: Path) -> None:
    for attempt in range(6):
        writer = start_writer(tmp_path, f"k{attempt}", 100_000)
        assert writer.stdout is not None
        with writer.stdout:
            for _ in range(attempt + 1):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
            writer.wait(30)
        assert whole(tmp_path)
    store = LayoutStore(tmp_path)
    store.put_manifest(manifest(store, b"after"), "after")
    assert "after" in store.tags()


def test_what_crashed_writers_left_is_swept_after_a_day(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path)
    store.put_manifest(manifest(store, b"one"))
    old, young = tmp_path / "incoming" / "old", tmp_path / "incoming" / "young"
    for path in (old, young):
        path.write_bytes(b"half a layer")
    os.utime(old, (0, time.time() - 25 * 3600))
    store.put_manifest(manifest(store, b"two"))
    assert not old.exists()
    assert young.exists()


def test_a_full_disk_is_said_and_the_store_stays_whole(tmp_path: Path) -> None:
    """The kernel refuses bytes as a full disk does: no file may grow beyond 50 kB."""
    store = LayoutStore(tmp_path / "store")
    before = store.put_manifest(manifest(store, b"before"), "before")
    big = tmp_path / "big"
    big.write_bytes(os.urandom(100_000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        for content in (big, big.read_bytes()):
            with pytest.raises(RefusedError, match=r"File too large.*intact; free some space"):
                store.put_blob(content)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.resolve("before") == before
    assert whole(tmp_path / "store")
    assert not list((tmp_path / "store" / "incoming").iterdir())


def test_a_full_file_system_is_said_and_the_store_stays_whole(tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(mounted)]
    if os.getuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk; the limit on file sizes is tested above")
    try:
        store = LayoutStore(mounted / "store")
        before = store.put_manifest(manifest(store, b"before"), "before")
        with pytest.raises(RefusedError, match=r"No space left on device.*intact"):
            store.put_blob(os.urandom(400_000))
        assert whole(mounted / "store")
        assert store.resolve("before") == before
        store.put_manifest(manifest(store, b"after"), "after")
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_a_broken_index_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path)
    raw = manifest(store, b"x")
    store.put_manifest(raw, "x")
    (tmp_path / "index.json").write_bytes(b'{"manifests": [')
    for ask in (store.tags, lambda: store.resolve("x"), lambda: store.put_manifest(raw, "y")):
        with pytest.raises(CorruptError, match=r"index\.json"):
            ask()


def test_a_truncated_blob_is_healed_by_storing_it_again(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path)
    blob = store.put_blob(b"precious")
    (tmp_path / "blobs" / "sha256" / oci.hex_of(blob.digest)).write_bytes(b"pre")
    with pytest.raises(CorruptError):
        store.blob(blob.digest)
    store.put_blob(b"precious")
    assert store.blob(blob.digest) == b"precious"


def test_a_missing_source_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="nowhere"):
        LayoutStore(tmp_path / "store").put_blob(tmp_path / "nowhere")


def test_reading_makes_no_folder(tmp_path: Path) -> None:
    store = LayoutStore(tmp_path / "store")
    assert store.tags() == ()
    assert not (tmp_path / "store").exists()
    assert store.repository == f"layout:{tmp_path / 'store'}"


def test_the_first_thing_in_a_layout_may_be_an_index_of_nothing(tmp_path: Path) -> None:
    empty = oci.canonical({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": []})
    assert LayoutStore(tmp_path).put_manifest(empty, "r-1") == oci.digest_of(empty)
