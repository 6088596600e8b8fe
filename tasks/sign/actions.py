"""The Prefect tasks of this room: sign, and attest."""

from collections.abc import Sequence
from typing import cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import quote

from tasks import platforms
from tasks.errors import TagConflictError
from tasks.evidence import Statement
from tasks.model import Artifact
from tasks.references import promoted_tag
from tasks.retries import PATIENTLY
from tasks.sign import evidence


@task(cache_policy=NO_CACHE, task_run_name="sign {artifact.service} {artifact.short}", **PATIENTLY)
def sign_artifact(artifact: Artifact) -> None:
    """As builder, in both formats of cosign; verified after writing."""
    evidence.sign(artifact)


@task(cache_policy=NO_CACHE, task_run_name="tag {artifact.service} {artifact.short}", **PATIENTLY)
def tag_release(artifact: Artifact, release: str) -> str:
    """A tag for people, set once: `hello-r7`. Without one, registries may take the artifact for garbage.

    Another journal may have used that name in the same repository: it keeps it, and ours is `hello-r7-<short digest>`.
    """
    store, name = platforms.store(artifact.repository), f"{artifact.service}-{release}"
    try:
        store.tag_once(artifact.digest, name)
    except TagConflictError:
        name = f"{name}-{artifact.short}"
        store.tag_once(artifact.digest, name)
    return name


@task(cache_policy=NO_CACHE, task_run_name="tag {artifact.service} as promoted", **PATIENTLY)
def tag_promoted(artifact: Artifact) -> str:
    """A tag that moves: `hello-promoted`. Who bakes on this service can follow it."""
    store, name = platforms.store(artifact.repository), promoted_tag(artifact.service)
    if store.resolve(name) != artifact.digest:
        store.put_manifest(store.manifest(artifact.digest), name)
    return name


def attest_artifact(artifact: Artifact, statements: Sequence[Statement]) -> None:
    """Each statement by the key of its role; all verified after writing.

    Quoted: Prefect would look for futures in every corner of two bills of materials, which takes longer than to attest them.
    """
    _attest(artifact, cast("Sequence[Statement]", quote(statements)))


@task(
    name="attest_artifact",
    cache_policy=NO_CACHE,
    task_run_name="attest {artifact.service} {artifact.short}",
    **PATIENTLY,
)
def _attest(artifact: Artifact, statements: Sequence[Statement]) -> None:
    evidence.attest(artifact, statements)
