"""Retire: take a service out of its environments, from Prefect's pages. `bakewell down SERVICE` does the same."""

from prefect import flow
from pydantic import BaseModel, Field

from flows.labels import tags_of
from flows.progress import name_run
from flows.retirement import take_down
from flows.story import tell


class RetireRequest(BaseModel, frozen=True):
    """What is taken out, and why."""

    service: str = Field(
        min_length=1,
        title="Service",
        description="Its name, as in its service.yaml.",
        json_schema_extra={"position": 0},
    )
    reason: str = Field(
        min_length=3,
        title="Reason",
        description="Why. It is journalled.",
        json_schema_extra={"position": 1},
    )
    environment: str = Field(
        "",
        title="Environment",
        description="Only there. Empty: everywhere.",
        json_schema_extra={"position": 2},
    )


@flow(flow_run_name="retire {request.service}")
def retire(request: RetireRequest) -> list[str]:
    """Stop every instance of a service, in one environment or all. Artifacts, evidence and the journal stay.

    Args:
        request: What is taken out, and why.
    """
    where = f" in {request.environment}" if request.environment else ""
    places = filter(None, (request.environment,))
    name_run(f"retire {request.service}{where}", tags_of(request.service, places))
    done = []
    for line in take_down(
        request.service, request.environment or None, everything=False, reason=request.reason
    ):
        tell(line)
        done.append(line)
    return done
