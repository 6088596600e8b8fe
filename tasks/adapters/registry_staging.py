"""A repository of a registry in which images stay only until they were read back: tags and manifests are removed."""

from tasks.adapters.docker_login import credentials_for
from tasks.adapters.registry import RegistryStore
from tasks.adapters.registry_session import RegistrySession, split_repository
from tasks.errors import BakewellError


class StagingRepository:
    """Beside the one that the artifact goes to; in the same registry, so that layers of a base need not be sent."""

    def __init__(self, repository: str) -> None:
        host, name = split_repository(repository)
        self._session = RegistrySession(host, name, lambda: credentials_for(repository))
        self.store = RegistryStore(repository, lambda: credentials_for(repository))

    def remove(self, tag: str) -> str:
        """Why it could not be removed, if so: registries may forbid it. Its blobs are the registry's to collect."""
        try:
            if digest := self.store.resolve(tag):
                url = self._session.url(f"manifests/{digest}")
                self._session.send("DELETE", url, accept=(404,))
        except BakewellError as error:
            return str(error)
        return ""

    def tags(self) -> tuple[str, ...]:
        return self.store.tags()
