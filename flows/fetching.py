"""Fetching: the folder that a release is made from - one on this machine, or a commit of a configured repository."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.story import tell
from tasks import platforms
from tasks.adapters.checkout import Wanted, checked_out
from tasks.adapters.repositories_file import repositories_file, repository_named
from tasks.errors import InvalidInputError


@contextmanager
def source_folder(folder: Path | None, repository: str, wanted: Wanted) -> Iterator[Path]:
    """`folder` as it is, or the commit of the repository of that name: in a folder that is gone afterwards.

    InvalidInputError unless exactly one of the two is named, NotFoundError for a repository that is not configured.
    """
    if (folder is None) == (not repository):
        raise InvalidInputError(
            "name either a folder of this machine, or a repository with a commit: what is to be released"
        )
    if folder is not None:
        yield folder
        return
    configured = repository_named(repository, repositories_file())
    with checked_out(configured, wanted, platforms.home() / "checkouts") as found:
        tell(f"checked out {wanted.commit} of {configured.url}", where=repository)
        yield found
