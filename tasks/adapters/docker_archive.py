"""An image as one tar that every Docker engine can load, streamed out of a store: no engine's format is kept on disk.

Engines with the classic image store read manifest.json, those with containerd's read index.json: both point to the same
blobs. Blobs are checked against their digests on the way (CorruptError), and once more by the engine.
"""

import tarfile
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from tasks import oci
from tasks.errors import CorruptError
from tasks.ports import ArtifactStore

BLOCK: Final = tarfile.BLOCKSIZE


def archive(
    store: ArtifactStore, raw: bytes, name: str, absent: AbstractSet[str] = frozenset()
) -> Iterator[bytes]:
    """The parts of the tar. `raw` is the manifest, `name` what the engine shows to people. Layers in `absent` are left out:
    the engine has them."""
    manifest = oci.checked_manifest(raw)
    config, layers = manifest["config"], manifest["layers"]
    yield from _small("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    yield from _small("index.json", oci.canonical(_index(raw, manifest, name)))
    yield from _small("manifest.json", oci.canonical(_docker_manifest(manifest, name)))
    yield from _small(_path(oci.digest_of(raw)), raw)
    yield from _small(_path(config["digest"]), store.blob(config["digest"]))
    for digest, size in {layer["digest"]: layer["size"] for layer in layers}.items():
        if digest not in absent:
            yield from _streamed(store, digest, size)
    yield b"\0" * (2 * BLOCK)


def _docker_manifest(manifest: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    layers = [_path(layer["digest"]) for layer in manifest["layers"]]
    return [{"Config": _path(manifest["config"]["digest"]), "RepoTags": [name], "Layers": layers}]


def _index(raw: bytes, manifest: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The annotations by which containerd and the OCI specification name an image."""
    full, _, tag = f"docker.io/{name}".rpartition(":")
    entry = {
        "mediaType": oci.media_type(manifest),
        "digest": oci.digest_of(raw),
        "size": len(raw),
        "annotations": {oci.REF_NAME: tag, "io.containerd.image.name": f"{full}:{tag}"},
    }
    return {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [entry]}


def _path(digest: str) -> str:
    return f"blobs/sha256/{oci.hex_of(digest)}"


def _small(name: str, content: bytes) -> Iterator[bytes]:
    yield _header(name, len(content))
    yield content + _padding(len(content))


def _streamed(store: ArtifactStore, digest: str, size: int) -> Iterator[bytes]:
    """The header promises a size before the bytes are seen."""
    yield _header(_path(digest), size)
    sent = 0
    for part in store.stream(digest):
        sent += len(part)
        yield part
    if sent != size:
        raise CorruptError(
            f"asked for the layer {digest} of {store.repository}; found {sent} bytes where its manifest says {size}; bake"
            " it again, or copy it there from where it was baked"
        )
    yield _padding(size)


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return b"\0" * (-size % BLOCK)
