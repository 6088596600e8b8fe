"""`container:` of an environment in service.yaml: what one container of it may use. Pure."""

from pydantic import Field

from tasks.model import Container
from tasks.settings import Part


class ContainerSpec(Part):
    """What each container may use; beyond it is refused or ended, so that one service cannot starve another."""

    memory_mb: int = Field(
        512, ge=8, le=4_194_304, description="memory without swap; who wants more is ended"
    )
    cpus: float = Field(1.0, ge=0.01, le=1024, description="cores; who wants more waits")
    pids: int = Field(256, ge=4, le=4_194_304, description="processes and threads")
    tmp_mb: int = Field(64, ge=1, le=65_536, description="size of /tmp, which is memory")
    log_mb: int = Field(
        20, ge=2, le=65_536, description="how much of its log the engine keeps while it runs"
    )

    @property
    def limits(self) -> Container:
        return Container(self.memory_mb, self.cpus, self.pids, self.tmp_mb, self.log_mb)
