"""What a bake says about where its artifact comes from, as SLSA provenance; and what such statements tell us. Pure.

Spec: https://slsa.dev/spec/v1.0/provenance, resource descriptors of in-toto (attestation/spec/v1/resource_descriptor.md),
package URLs (https://github.com/package-url/purl-spec). Our own `buildType`s are explained in README.md beside this file.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from tasks.evidence import Kind, Provenance, Statement
from tasks.materials import Ingredient, Materials
from tasks.model import Source
from tasks.recipes import DockerfileBake
from tasks.service import ServiceSpec

BUILD_TYPE: Final = "https://bakewell.dev/bake/v1"
DOCKERFILE_TYPE: Final = "https://bakewell.dev/bake-dockerfile/v1"
BUILDER: Final = "https://bakewell.dev/builder/v1"
SCRATCH: Final = "scratch"
FILES_AT_MOST: Final = 2000
FILE_LIST: Final = "files"
CONTENT_KEY: Final = "content key"

_SSH = re.compile(r"(?P<user>[\w.-]+@)?(?P<host>[\w.-]+):(?P<path>[^/].*|/[^/].*)")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_IMAGE = re.compile(r"(oci|docker|docker-image)://|pkg:(oci|docker)/")


@dataclass(frozen=True)
class Making:
    """One bake as it was done. `invocation` is the Prefect run's id, else the owner of the lease.

    `content_key` is 64 hex digits. `reused`: these inputs had been baked before, and that very artifact was found again.
    `versions` are those of the builder and of what decides its bytes, as pairs.
    """

    started_at: datetime
    finished_at: datetime
    invocation: str
    content_key: str
    reused: bool
    versions: tuple[tuple[str, str], ...] = ()


def provenance(
    spec: ServiceSpec, source: Source, materials: Materials, making: Making
) -> Statement:
    """The statement of our builder. More than 2,000 files are told as one list; its digest is that of `sha256sum`'s output,
    sorted by path."""
    return Statement(
        Kind.PROVENANCE,
        {
            "buildDefinition": {
                "buildType": _build_type(spec),
                "externalParameters": {
                    "service": spec.service,
                    "source": {
                        "repository": source.repository,
                        "commit": source.commit,
                        "dirty": source.dirty,
                    },
                    "bake": spec.bake.model_dump(mode="json"),
                },
                "internalParameters": {
                    "interpreter": materials.interpreter,
                    "reused": making.reused,
                },
                "resolvedDependencies": [
                    _source(source),
                    *_image(materials.base),
                    *(part for one in materials.images for part in _image(one)),
                    *map(_package, materials.packages),
                    *_files(materials.files),
                ],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": dict((*making.versions, *materials.builder))},
                "metadata": {
                    "invocationId": making.invocation,
                    "startedOn": timestamp(making.started_at),
                    "finishedOn": timestamp(making.finished_at),
                },
                "byproducts": [{"name": CONTENT_KEY, "digest": {"sha256": making.content_key}}],
            },
        },
    )


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC, ending in Z, as SLSA's and in-toto's Timestamp have it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


# ---- writing -------------------------------------------------------------------------------------


def _build_type(spec: ServiceSpec) -> str:
    """From a Dockerfile things were executed: whoever relies on the other type relies on that nothing was."""
    return DOCKERFILE_TYPE if isinstance(spec.bake, DockerfileBake) else BUILD_TYPE


def _source(source: Source) -> dict[str, Any]:
    """A tree outside Git has a name and no digest: what was in it is told file by file."""
    told: dict[str, Any] = {"name": "source", "annotations": {"dirty": source.dirty}}
    if source.commit:
        told["uri"] = f"git+{_address(source.repository)}@{source.commit}"
        told["digest"] = {"gitCommit": source.commit}
    return told


def _address(repository: str) -> str:
    """A URI for every form that Git knows: `user@host:path` is ssh, a path is a file."""
    if "://" in repository:
        return repository
    if repository.startswith("/"):
        return f"file://{quote(repository)}"
    if found := _SSH.fullmatch(repository):
        return f"ssh://{found['user'] or ''}{found['host']}/{quote(found['path'].lstrip('/'))}"
    return f"file:///{quote(repository)}"


def _image(reference: str) -> Iterator[dict[str, Any]]:
    if reference != SCRATCH:
        algorithm, _, value = reference.rpartition("@")[2].partition(":")
        yield {"uri": f"oci://{reference}", "digest": {algorithm: value}}


def _package(one: Ingredient) -> dict[str, Any]:
    told: dict[str, Any] = {"uri": f"pkg:pypi/{one.name}@{quote(one.version)}"}
    if one.sha256:
        told["digest"] = {"sha256": one.sha256}
    else:
        told["annotations"] = {"one of these sha256": list(one.locked)}
    return told


def _files(files: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    if len(files) <= FILES_AT_MOST:
        yield from ({"name": path, "digest": {"sha256": sha256}} for path, sha256 in sorted(files))
        return
    lines = "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(files))
    yield {
        "name": FILE_LIST,
        "mediaType": "text/plain",
        "digest": {"sha256": hashlib.sha256(lines.encode()).hexdigest()},
        "annotations": {"count": len(files), "digest of": "sha256sum's lines, sorted by path"},
    }


# ---- reading -------------------------------------------------------------------------------------


def read_provenance(predicate: Mapping[str, Any]) -> Provenance | None:
    """What a builder says, ours or another that writes SLSA provenance v1; None if it is none, or names no source at all.

    Other builders do not say whether their tree was clean: what names a commit counts as clean unless it says `-dirty`.
    """
    try:
        definition, run = predicate["buildDefinition"], predicate["runDetails"]
        parts = [one for one in definition.get("resolvedDependencies") or () if _is_part(one)]
        source = _read_source(definition, parts)
        if source is None:
            return None
        metadata = run.get("metadata") or {}
        images = [one for one in parts if _IMAGE.match(one.get("uri") or "")]
        return Provenance(
            repository=source.repository,
            commit=source.commit,
            dirty=source.dirty,
            builder=str(run["builder"]["id"]),
            bases=tuple(digest for one in images if (digest := _digest(one))),
            base_names=tuple(one["uri"].removeprefix("oci://") for one in images),
            packages=tuple(str(one["uri"]) for one in parts if _is_package(one)),
            files=sum(map(_count, parts)),
            started_at=_moment(metadata.get("startedOn")),
            finished_at=_moment(metadata.get("finishedOn")),
            invocation=str(metadata.get("invocationId") or ""),
            versions=tuple(sorted((run["builder"].get("version") or {}).items())),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _is_part(one: object) -> bool:
    return isinstance(one, Mapping)


def _read_source(
    definition: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]
) -> Source | None:
    """Ours says it in a parameter; others name a Git repository among what they resolved: the first is what was built."""
    if definition["buildType"] in (BUILD_TYPE, DOCKERFILE_TYPE):
        said = definition["externalParameters"]["source"]
        commit = str(said["commit"])
        return Source(str(said["repository"]), commit, said["dirty"] is not False or not commit)
    for one in parts:
        uri = str(one.get("uri") or "")
        if uri.startswith("git+"):
            return _git_source(uri, one.get("digest") or {})
    return None


def _git_source(uri: str, digest: Mapping[str, Any]) -> Source:
    """`git+https://host/name@ref`, with the commit as gitCommit (SLSA) or sha1 (older builders)."""
    address, at, ref = uri.removeprefix("git+").partition("#")[0].rpartition("@")
    if not at or "/" not in address.partition("://")[2]:  # that @ belongs to ssh://git@host
        address, ref = uri.removeprefix("git+").partition("#")[0], ""
    said = str(digest.get("gitCommit") or digest.get("sha1") or ref)
    commit = said.removesuffix("-dirty")
    if not _COMMIT.fullmatch(commit):
        return Source(address, "", True)
    return Source(address, commit, said.endswith("-dirty"))


def _digest(part: Mapping[str, Any]) -> str:
    found = (part.get("digest") or {}).get("sha256")
    return f"sha256:{found}" if found else ""


def _is_package(part: Mapping[str, Any]) -> bool:
    uri = str(part.get("uri") or "")
    return uri.startswith("pkg:") and not _IMAGE.match(uri)


def _count(part: Mapping[str, Any]) -> int:
    """How many files this part stands for."""
    if part.get("uri") or not part.get("digest"):
        return 0
    told = (part.get("annotations") or {}).get("count")
    return int(told) if part.get("name") == FILE_LIST and told else 1


def _moment(text: object) -> datetime | None:
    """None where it is not told, or has no time zone."""
    if not text:
        return None
    found = datetime.fromisoformat(str(text))
    return found if found.tzinfo else None


def names_source(known: Sequence[Mapping[str, Any]], source: Source) -> bool:
    """Does one of these predicates say already that the artifact comes from this very source?"""
    return any((found := read_provenance(one)) and found.source == source for one in known)
