"""Tags that never move, on stores that would move them: the digest stays the truth, a tag is a label for people."""

from tasks.adapters.file_lock import locked_name
from tasks.errors import NotFoundError, RefusedError
from tasks.ports import ArtifactStore


def tag_once(store: ArtifactStore, digest: str, tag: str) -> str:
    """Have `tag` point to `digest`; refuse to move it from another. Returns the digest.

    Look, write, look again: no store offers one step. Writers on this machine wait for each other; of two on
    different machines the one whose tag was overwritten before its second look is told so.
    """
    with locked_name(f"{store.repository}:{tag}"):
        if (found := store.resolve(tag)) is None:
            store.put_manifest(store.manifest(digest), tag)
            found = store.resolve(tag)
    if found is None:
        raise NotFoundError(
            f"asked to tag {digest} as {tag} in {store.repository}; the tag is gone again"
        )
    if found != digest:
        raise RefusedError(
            f"asked to tag {digest} as {tag} in {store.repository}; the tag points to {found} and never moves; "
            "use another tag"
        )
    return digest
