"""One blob from one store to another: without its bytes where a registry can share it, else by way of this machine."""

import tempfile
from pathlib import Path
from typing import Protocol, runtime_checkable

from tasks.errors import RefusedError
from tasks.ports import ArtifactStore


@runtime_checkable
class Mounts(Protocol):
    """A store that can share a blob with another repository of the same registry, without its bytes coming here."""

    def mount(self, digest: str, repository: str) -> bool: ...


def bring_blob(digest: str, source: ArtifactStore, target: ArtifactStore, work: Path) -> bool:
    """Have the blob in `target`; False if it was there. Bytes that come by way of `work` are checked against the digest
    before any of them is sent on (CorruptError)."""
    if source.repository == target.repository or target.has_blob(digest):
        return False
    if isinstance(target, Mounts) and target.mount(digest, source.repository):
        return True
    try:
        with tempfile.NamedTemporaryFile(dir=work) as file:
            for part in source.stream(digest):
                file.write(part)
            file.flush()
            target.put_blob(Path(file.name))
    except OSError as error:
        raise RefusedError(
            f"asked to copy {digest} from {source.repository} to {target.repository} by way of {work}; found"
            f" {error.strerror or error}; what was copied before is whole: check the disk, then do it again"
        ) from error
    return True
