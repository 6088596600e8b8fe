"""What an artifact is made of, out of what is written about it: bases and layers. Pure.

Specifications: OCI image-spec 1.1 (annotations, rootfs.diff_ids), SLSA v1 provenance (resolvedDependencies).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

BASE_DIGEST: Final = "org.opencontainers.image.base.digest"
BASE_NAME: Final = "org.opencontainers.image.base.name"
OCI: Final = "oci://"

Json = Mapping[str, Any]


def base_of(manifest: Json) -> str:
    """The digest that the manifest says it stands on; empty if it says none."""
    return str((manifest.get("annotations") or {}).get(BASE_DIGEST) or "")


def repository_of_base(manifest: Json) -> str:
    """Where that base was taken from, without tag or digest; empty if it does not say."""
    name = str((manifest.get("annotations") or {}).get(BASE_NAME) or "").partition("@")[0]
    host, colon, tag = name.rpartition(":")
    return host if colon and "/" not in tag else name


def dependencies_of(provenance: Json) -> frozenset[str]:
    """Digests of everything it was built from: base images, files, packages. Equal digests are equal things."""
    definition = provenance.get("buildDefinition") or {}
    listed = [one.get("digest") or {} for one in definition.get("resolvedDependencies") or ()]
    return frozenset(f"sha256:{one['sha256']}" for one in listed if "sha256" in one)


def places_of(provenance: Json) -> Mapping[str, str]:
    """Repositories of the images it was built from, by digest, where their `oci://repository@digest` says so.

    A folder that only its service.yaml can find (`layout:` and a relative path) is no place for anybody else.
    """
    definition = provenance.get("buildDefinition") or {}
    named = [str(one.get("uri") or "") for one in definition.get("resolvedDependencies") or ()]
    parts = [uri.removeprefix(OCI).rpartition("@") for uri in named if uri.startswith(OCI)]
    return {
        digest: repository
        for repository, _, digest in parts
        if repository and (not repository.startswith("layout:") or repository[7:8] == "/")
    }


def layers_of(configuration: Json) -> tuple[str, ...]:
    """Diff ids, lowest first: they say what is in a layer however it is compressed."""
    return tuple(map(str, (configuration.get("rootfs") or {}).get("diff_ids") or ()))


def stands_on(layers: Sequence[str], base: Sequence[str]) -> bool:
    """By content: it begins with all the base's layers. Nothing stands on a base without any."""
    return bool(base) and tuple(layers[: len(base)]) == tuple(base)
