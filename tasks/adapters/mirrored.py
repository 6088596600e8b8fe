"""One repository that is read from its mirrors where it is down, or has lost what is asked for by digest.

Mirrors need no trust. Every store checks bytes against the digest that was asked for, so a mirror can keep something back
but not change it. "There is nothing" is believed only of a store that holds the artifact in question (a copy gets its
evidence before the artifact, see tasks/mirror): then the first such answer counts, even if a mirror knows more. What
names an artifact by a tag for people is asked of the first; of mirrors only while it is down.

Everything is written to the first only.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from tasks import oci
from tasks.adapters.bring import Mounts
from tasks.adapters.outages import Outages
from tasks.errors import (
    BakewellError,
    CorruptError,
    NotFoundError,
    RefusedError,
    TooLargeError,
    TransientError,
)
from tasks.ports import ArtifactStore, Descriptor

T = TypeVar("T")
Failure = tuple[ArtifactStore, BakewellError]
IN_MEMORY_BYTES: Final = 8 * 1024 * 1024
BLOB_BYTES_AT_MOST: Final = 16 * 1024**3
PART_BYTES: Final = 1024 * 1024
KNOWN_OUTAGES: Final = Outages()


class MirroredStore:
    """The first store, and others to read by digest. `outages`: those all stores of a process know, unless given."""

    def __init__(
        self,
        first: ArtifactStore,
        mirrors: Sequence[ArtifactStore],
        outages: Outages | None = None,
    ) -> None:
        self._first = first
        self._all = (first, *mirrors)
        self._outages = outages or KNOWN_OUTAGES

    @property
    def repository(self) -> str:
        return self._first.repository

    # ---- reading ---------------------------------------------------------------------------------

    def manifest(self, digest: str) -> bytes:
        return self._ask(f"the manifest {digest}", lambda store: store.manifest(digest))

    def blob(self, digest: str) -> bytes:
        return self._ask(f"the blob {digest}", lambda store: store.blob(digest))

    def stream(self, digest: str) -> Iterator[bytes]:
        """Nothing is handed on before all of it was checked: bytes that are wrong at the end could not be taken back."""
        with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as file:

            def fetch(store: ArtifactStore) -> None:
                file.seek(0)
                file.truncate()
                for part in store.stream(digest):
                    if file.tell() > BLOB_BYTES_AT_MOST:
                        raise _too_large(store, digest)
                    file.write(part)

            try:
                self._ask(f"the blob {digest}", fetch)
            except OSError as error:
                raise RefusedError(
                    f"asked for the blob {digest} of {self.repository}; it cannot be kept in {tempfile.gettempdir()}"
                    f" while it is checked: {error.strerror or error}; check the disk"
                ) from error
            file.seek(0)
            while part := file.read(PART_BYTES):
                yield part

    def resolve(self, tag: str) -> str | None:
        about = None if oci.is_digest(tag) else oci.evidence_about(tag)

        def ask(store: ArtifactStore) -> str | None:
            found = store.resolve(tag)
            if found or (not oci.is_digest(tag) and self._counts(store, about)):
                return found
            raise _nothing(store, tag)

        return self._ask_or(tag, ask, None)

    def has_blob(self, digest: str) -> bool:
        """In the first; so that whoever is about to write knows what is missing there. Of mirrors while it is down."""

        def ask(store: ArtifactStore) -> bool:
            if (found := store.has_blob(digest)) or self._counts(store, None):
                return found
            raise _nothing(store, digest)

        return self._ask_or(digest, ask, False)

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        def ask(store: ArtifactStore) -> tuple[Descriptor, ...]:
            found = store.referrers(digest)
            if found or self._counts(store, digest):
                return found
            raise _nothing(store, digest)

        return self._ask_or(f"evidence of {digest}", ask, ())

    def tags(self) -> tuple[str, ...]:
        return self._ask("the tags", lambda store: store.tags())

    def holder(self, digest: str) -> ArtifactStore:
        """Who has this manifest and answers: for programs that read a registry themselves."""

        def has(store: ArtifactStore) -> ArtifactStore:
            store.manifest(digest)
            return store

        return self._ask(f"the manifest {digest}", has)

    # ---- writing ---------------------------------------------------------------------------------

    def put_manifest(self, raw: bytes, tag: str | None = None) -> str:
        return self._first.put_manifest(raw, tag)

    def tag_once(self, digest: str, tag: str) -> str:
        return self._first.tag_once(digest, tag)

    def put_blob(self, content: bytes | Path, mount_from: str | None = None) -> Descriptor:
        return self._first.put_blob(content, mount_from)

    def mount(self, digest: str, repository: str) -> bool:
        """See RegistryStore.mount; False where the first is no registry."""
        return isinstance(self._first, Mounts) and self._first.mount(digest, repository)

    # ---- whom to ask, and whom to believe --------------------------------------------------------

    def _counts(self, store: ArtifactStore, about: str | None) -> bool:
        """Whether this store's "there is nothing" is an answer: it holds what is asked about, or it is the first."""
        return store is self._first if about is None else store.resolve(about) is not None

    def _ask(self, what: str, ask: Callable[[ArtifactStore], T]) -> T:
        """The first good answer. Who did not answer a moment ago is asked last, in case nobody else can help."""
        failures: list[Failure] = []
        turns = sorted(self._all, key=lambda store: self._outages.is_down(store.repository))
        for store in turns:
            try:
                return ask(store)
            except TransientError as error:
                self._outages.remember(store.repository, error)
                failures.append((store, error))
            except (NotFoundError, CorruptError, TooLargeError) as error:
                failures.append((store, error))
            except RefusedError as error:
                if store is self._first:
                    raise
                failures.append((store, error))
        raise _verdict(what, self.repository, failures)

    def _ask_or(self, what: str, ask: Callable[[ArtifactStore], T], nothing: T) -> T:
        """The same, where "nobody has it" is an answer, too."""
        try:
            return self._ask(what, ask)
        except NotFoundError:
            return nothing


def _nothing(store: ArtifactStore, what: str) -> NotFoundError:
    return NotFoundError(f"asked {store.repository} for {what}; it has none")


def _too_large(store: ArtifactStore, digest: str) -> TooLargeError:
    return TooLargeError(
        f"asked {store.repository} for {digest}; it sends more than {BLOB_BYTES_AT_MOST} bytes; ask who runs it"
    )


def _verdict(what: str, repository: str, failures: Sequence[Failure]) -> BakewellError:
    """What it means that nobody had a good answer: perhaps later, or somebody changed it, or there is none."""
    told = "; ".join(f"{store.repository}: {error}" for store, error in failures)
    message = f"asked for {what} of {repository} and its mirrors; none of them has it now: {told}"
    kinds = [type(error) for _, error in failures]
    if any(issubclass(kind, TransientError) for kind in kinds):
        return TransientError(message)
    if all(issubclass(kind, NotFoundError) for kind in kinds):
        return NotFoundError(message)
    worst = next((kind for kind in (CorruptError, TooLargeError) if kind in kinds), RefusedError)
    return worst(message)
