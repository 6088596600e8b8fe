"""Where the source of a released service is: it is rebuilt from exactly that, or not at all."""

from pathlib import Path
from typing import Any

from tasks import platforms
from tasks.adapters.service_file import read_service
from tasks.bake.bakery import makes
from tasks.errors import RefusedError
from tasks.journal.pushes import PushAccepted
from tasks.journal.rules import EventKind, ReleaseState, body_of
from tasks.references import follow


def source_of_release(stands: ReleaseState) -> dict[str, Any]:
    """The fields of a release request that name it: a commit that was pushed, else the folder it was released from.

    RefusedError if the folder is gone, or holds something else by now.
    """
    return _pushed(stands) or {"folder": str(_unchanged_folder(stands))}


def _pushed(stands: ReleaseState) -> dict[str, Any] | None:
    """By the push that brought the commit."""
    for event in reversed(platforms.journal().events(stands.service)):
        if event.kind == EventKind.PUSH_ACCEPTED:
            body = body_of(event)
            if isinstance(body, PushAccepted) and body.commit == stands.source.commit:
                return {
                    "repository": body.repository,
                    "commit": body.commit,
                    "branch": body.ref.removeprefix("refs/heads/"),
                    "subfolder": body.folder,
                }
    return None


def _unchanged_folder(stands: ReleaseState) -> Path:
    """Told by content, not by Git: also a tree that was never committed can be just as it was."""
    folder, asked = Path(stands.folder), f"asked for the source of {stands.service} {stands.id}"
    if not stands.folder:
        raise RefusedError(
            f"{asked}; no push brought it and no folder of it is known; release it once more, then it can be rebuilt"
        )
    if not folder.is_dir():
        raise RefusedError(
            f"{asked}; its folder {folder} is gone; bring it back, or release it by a push"
        )
    spec, _ = read_service(folder)
    if spec != stands.spec or not makes(spec, folder, stands.artifact, follow(stands.bases)):
        raise RefusedError(
            f"{asked}; {folder} holds something else by now; release that, or bring {stands.source} back"
        )
    return folder
