"""Artifacts in one repository of an OCI registry (distribution-spec 1.1), over httpx.

No library: those on the index lack the referrers' fallback tag, mounts, or the check of what they read.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from tasks import oci
from tasks.adapters.file_lock import locked_name
from tasks.adapters.registry_session import (
    TIMEOUT,
    CredentialSource,
    RegistrySession,
    split_repository,
    unreachable,
)
from tasks.adapters.tags import for_people, refuse_to_move, refuse_unless_set
from tasks.errors import (
    CorruptError,
    InvalidInputError,
    RefusedError,
    TooLargeError,
    TransientError,
)
from tasks.ports import Descriptor

PART = 1024 * 1024
NO_REFERRERS_API = (404, 405, 501)
REFERRER_ATTEMPTS = 5


class RegistryStore:
    """One repository. `chunk_bytes`: send blobs in such chunks (some proxies limit a request's size); else in one request.

    Referrers in registries without the API are a list under a tag, which must be read, changed and written back. This is
    serialised on this machine; against writers on other machines it is checked afterwards and done again, which
    finds a lost entry only if the other writer came between our writing and our check.
    """

    def __init__(
        self,
        repository: str,
        credentials: CredentialSource = None,
        *,
        chunk_bytes: int | None = None,
        timeout: httpx.Timeout = TIMEOUT,
    ) -> None:
        host, name = split_repository(repository)
        self._repository = repository
        self._chunk_bytes = chunk_bytes
        self._session = RegistrySession(host, name, credentials, timeout)

    @property
    def repository(self) -> str:
        return self._repository

    # ---- manifests -------------------------------------------------------------------------------

    def resolve(self, tag: str) -> str | None:
        if not oci.is_digest(tag):
            oci.checked_tag(tag)
        answer = self._manifest_request("HEAD", tag)
        if answer.status_code == 404:
            return None
        if oci.is_digest(tag):
            return tag
        found = answer.headers.get("docker-content-digest", "")
        return found if oci.is_digest(found) else self._digest_by_reading(tag)

    def _digest_by_reading(self, tag: str) -> str | None:
        answer = self._manifest_request("GET", tag)
        return None if answer.status_code == 404 else oci.digest_of(answer.content)

    def _manifest_request(
        self, method: str, reference: str, accept: tuple[int, ...] = (404,), stream: bool = False
    ) -> httpx.Response:
        url = self._session.url(f"manifests/{reference}")
        headers = {"Accept": ", ".join(oci.MANIFEST_TYPES)}
        return self._session.send(method, url, accept=accept, headers=headers, stream=stream)

    def _read_manifest(self, reference: str, accept: tuple[int, ...] = ()) -> bytes | None:
        """Its bytes; no more are read than a manifest may have. None for an accepted refusal."""
        with closing(self._manifest_request("GET", reference, accept, stream=True)) as answer:
            if not answer.is_success:
                return None
            raw = b""
            try:
                for part in answer.iter_bytes():
                    raw += part
                    if len(raw) > oci.MANIFEST_BYTES_AT_MOST:
                        raise self._too_large(reference)
            except httpx.HTTPError as error:
                raise unreachable(f"GET manifests/{reference}", error) from error
            return raw

    def manifest(self, digest: str) -> bytes:
        oci.hex_of(digest)
        raw = self._read_manifest(digest) or b""
        if (actual := oci.digest_of(raw)) != digest:
            raise self._corrupt(digest, actual)
        return raw

    def put_manifest(self, raw: bytes, tag: str | None = None) -> str:
        manifest = oci.checked_manifest(raw)
        digest = oci.digest_of(raw)
        if tag and not oci.may_move(tag):
            answer = self._send_once(raw, manifest, oci.checked_tag(tag))
        else:
            answer = self._send_manifest(raw, manifest, tag or digest)
        subject = oci.subject_of(manifest)
        if subject and not answer.headers.get("oci-subject"):
            self._list_referrer(subject, oci.describe(raw, manifest))
        return digest

    def tag_once(self, digest: str, tag: str) -> str:
        return self.put_manifest(self.manifest(digest), for_people(tag))

    def _send_once(self, raw: bytes, manifest: dict[str, Any], tag: str) -> httpx.Response:
        """Look, write, look again: no registry offers one step. Writers on this machine wait for each other; of two on
        different machines, the one whose tag was overwritten before its second look is told so."""
        digest = oci.digest_of(raw)
        with locked_name(f"{self._repository}:{tag}"):
            refuse_to_move(self._repository, tag, self.resolve(tag), digest)
            answer = self._send_manifest(raw, manifest, tag)
            refuse_unless_set(self._repository, tag, self.resolve(tag), digest)
        return answer

    def _send_manifest(
        self, raw: bytes, manifest: dict[str, Any], reference: str
    ) -> httpx.Response:
        url = self._session.url(f"manifests/{reference}")
        headers = {"Content-Type": oci.media_type(manifest)}
        return self._session.send("PUT", url, headers=headers, content=raw)

    def tags(self) -> tuple[str, ...]:
        found: set[str] = set()
        for page in self._pages(self._session.url("tags/list?n=1000"), accept=(404,)):
            if page.status_code != 404:
                found.update(self._json(page).get("tags") or ())
        return oci.people_tags(found)

    # ---- blobs -----------------------------------------------------------------------------------

    def has_blob(self, digest: str) -> bool:
        url = self._session.url(f"blobs/sha256:{oci.hex_of(digest)}")
        return self._session.send("HEAD", url, accept=(404,)).status_code != 404

    def blob(self, digest: str) -> bytes:
        return b"".join(self.stream(digest))

    def stream(self, digest: str) -> Iterator[bytes]:
        url = self._session.url(f"blobs/sha256:{oci.hex_of(digest)}")
        found = hashlib.sha256()
        # Asked for as it is: a registry that compresses on the way would change the bytes.
        headers = {"Accept-Encoding": "identity"}
        with closing(self._session.send("GET", url, headers=headers, stream=True)) as answer:
            try:
                for part in answer.iter_raw(PART):
                    found.update(part)
                    yield part
            except httpx.HTTPError as error:
                raise unreachable(f"GET {url}", error) from error
        if (actual := f"sha256:{found.hexdigest()}") != digest:
            raise self._corrupt(digest, actual)

    def put_blob(self, content: bytes | Path, mount_from: str | None = None) -> Descriptor:
        descriptor = _describe(content)
        if self.has_blob(descriptor.digest):
            return descriptor
        if mount_from and self.mount(descriptor.digest, mount_from):
            return descriptor
        start = self._session.send("POST", self._session.url("blobs/uploads/"), content=b"")
        self._upload(start, content, descriptor)
        return descriptor

    def mount(self, digest: str, repository: str) -> bool:
        """Have a blob of another repository of this registry without sending it; False if the registry would not."""
        host, _, name = repository.partition("/")
        if host != self._session.host or not name:
            return False
        url = self._session.url("blobs/uploads/").copy_merge_params({"mount": digest, "from": name})
        answer = self._session.send(
            "POST", url, accept=(403, 404, 405), content=b"", also_pull=name
        )
        if answer.status_code == 202:  # no mount, but a new upload: give it back
            self._session.send("DELETE", _location(answer), accept=(404, 405))
        return answer.status_code == 201

    def _upload(self, start: httpx.Response, content: bytes | Path, blob: Descriptor) -> None:
        headers = {"Content-Type": oci.BYTES}
        target = _location(start)
        if self._chunk_bytes:
            target = self._send_chunks(target, content, self._chunk_bytes)
            content = b""
        if isinstance(content, Path):
            headers["Content-Length"] = str(blob.size)
        finish = target.copy_merge_params({"digest": blob.digest})
        self._session.send("PUT", finish, headers=headers, content=content)

    def _send_chunks(self, target: httpx.URL, content: bytes | Path, size: int) -> httpx.URL:
        offset = 0
        for chunk in _chunks(content, size):
            headers = {
                "Content-Type": oci.BYTES,
                "Content-Range": f"{offset}-{offset + len(chunk) - 1}",
            }
            target = _location(self._session.send("PATCH", target, headers=headers, content=chunk))
            offset += len(chunk)
        return target

    # ---- referrers -------------------------------------------------------------------------------

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        listed = self._referrers_by_api(digest)
        return oci.referrers_in(self._fallback(digest)) if listed is None else listed

    def _referrers_by_api(self, digest: str) -> tuple[Descriptor, ...] | None:
        """None where the registry has no such API."""
        url = self._session.url(f"referrers/sha256:{oci.hex_of(digest)}")
        found: list[Descriptor] = []
        for page in self._pages(url, accept=NO_REFERRERS_API):
            if page.status_code != 200 or oci.INDEX not in page.headers.get("content-type", ""):
                return None
            found += oci.referrers_in(page.content)
        return tuple(found)

    def _fallback(self, subject: str) -> bytes | None:
        return self._read_manifest(oci.referrers_tag(subject), accept=(404,))

    def _list_referrer(self, subject: str, referrer: Descriptor) -> None:
        tag = oci.referrers_tag(subject)
        with locked_name(f"{self._repository}:{tag}"):
            for _ in range(REFERRER_ATTEMPTS):
                index = oci.with_referrer(self._fallback(subject), referrer)
                if index is None:
                    return
                self._send_manifest(index, oci.checked_manifest(index), tag)
        if oci.with_referrer(self._fallback(subject), referrer) is not None:
            raise TransientError(
                f"asked to list {referrer.digest} as evidence of {subject} in {self._repository}; another writer "
                f"removed it {REFERRER_ATTEMPTS} times; try again"
            )

    # ---- answers ---------------------------------------------------------------------------------

    def _pages(self, url: httpx.URL, accept: tuple[int, ...]) -> Iterator[httpx.Response]:
        following: httpx.URL | None = url
        while following is not None:
            page = self._session.send("GET", following, accept=accept)
            yield page
            link = page.links.get("next", {}).get("url")
            following = page.url.join(link) if link else None

    def _json(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            value = answer.json()
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise RefusedError(
                f"asked GET {answer.url}; found {answer.text[:80]!r} instead of JSON; is it a registry?"
            )
        return value

    def _too_large(self, reference: str) -> TooLargeError:
        return TooLargeError(
            f"asked {self._repository} for the manifest {reference}; it sends more than the"
            f" {oci.MANIFEST_BYTES_AT_MOST} bytes that a manifest may have; ask who runs the registry"
        )

    def _corrupt(self, digest: str, actual: str) -> CorruptError:
        return CorruptError(
            f"asked {self._repository} for {digest}; it sent bytes whose digest is {actual}: they were changed or "
            "its disk is broken; do not use it, and ask who runs the registry"
        )


def _location(answer: httpx.Response) -> httpx.URL:
    """Where to send the next part: the specification allows an address relative to the request's."""
    if "location" not in answer.headers:
        raise RefusedError(
            f"asked {answer.request.method} {answer.url}; the answer does not say where to send the bytes "
            "(no Location); is it a registry?"
        )
    return answer.url.join(answer.headers["location"])


def _describe(content: bytes | Path) -> Descriptor:
    if isinstance(content, bytes):
        return Descriptor(oci.BYTES, oci.digest_of(content), len(content))
    try:
        with content.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return Descriptor(oci.BYTES, f"sha256:{digest}", file.tell())
    except OSError as error:
        raise InvalidInputError(
            f"asked to store {content}; found {error.strerror}; check the path and who may read it"
        ) from error


def _chunks(content: bytes | Path, size: int) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield from (content[at : at + size] for at in range(0, len(content), size))
        return
    with content.open("rb") as file:
        read: Callable[[], bytes] = lambda: file.read(size)
        yield from iter(read, b"")
