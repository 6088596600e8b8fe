"""Tags that never move, on stores that would move them: the digest stays the truth, a tag is a label for people."""

from tasks import oci
from tasks.errors import InvalidInputError, TagConflictError, TransientError


def refuse_to_move(repository: str, tag: str | None, found: str | None, digest: str) -> None:
    """TagConflictError if `tag` is for people and stands for something else than `digest` (it is at `found` now)."""
    if tag is None or found in (None, digest) or oci.may_move(tag):
        return
    raise TagConflictError(
        f"asked to tag {digest} as {tag} in {repository}; that tag stands for {found} and never moves; use another tag,"
        " or a repository of its own for each service and journal"
    )


def refuse_unless_set(repository: str, tag: str, found: str | None, digest: str) -> None:
    """After writing: TagConflictError if another writer was faster, TransientError if it removed the tag."""
    refuse_to_move(repository, tag, found, digest)
    if found is None:
        raise TransientError(
            f"asked to tag {digest} as {tag} in {repository}; the tag was written and is gone again; is somebody"
            " deleting tags there?"
        )


def for_people(tag: str) -> str:
    """The tag, if it is one that is set once; else InvalidInputError."""
    if oci.may_move(tag):
        raise InvalidInputError(
            f"asked to set the tag {tag!r} once; tags of that form are moved by machines; use a name such as `r7`"
        )
    return oci.checked_tag(tag)
