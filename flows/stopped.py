"""How a rollout says that it ended without promotion. Knows nothing of Prefect."""

from tasks.errors import RefusedError
from tasks.model import Judgement


class StoppedError(RefusedError):
    """A rollout ended without promotion. `judgement` says why; stable serves as before."""

    def __init__(self, where: str, judgement: Judgement) -> None:
        super().__init__(f"{where}: {judgement.verdict.value}: {judgement.reason}")
        self.judgement = judgement
