"""The templates of work pools give what Prefect's workers and Kubernetes understand, and what our image can do."""

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import prefect
import pytest
from kubernetes.client import ApiClient
from prefect.utilities.templating import apply_values, find_placeholders

from tasks import platforms
from tasks.errors import RefusedError

POOLS = Path(__file__).parents[2] / "deployments" / "work_pools"
PUBLISHED = Path(prefect.__file__).parent / (
    "server/api/collections_data/views/aggregate-worker-metadata.json"
)
IMAGE = f"registry.example.org/bakewell@sha256:{'5' * 64}"
NEWER = {"container_create_kwargs"}
"""A setting of the docker worker that its own template leaves out."""

pools = pytest.mark.parametrize("kind", ["docker", "kubernetes"])


def template_of(kind: str) -> Any:
    return json.loads((POOLS / f"{kind}.json").read_text())


def published(kind: str) -> Any:
    """The template that Prefect's own worker of that kind would have."""
    packages = json.loads(PUBLISHED.read_text())
    return packages[f"prefect-{kind}"][kind]["default_base_job_configuration"]


def rendered(kind: str, **given: Any) -> Any:
    """What a worker makes of it, for a run of a deployment with these job variables."""
    found = template_of(kind)
    properties = found["variables"]["properties"]
    defaults = {name: one["default"] for name, one in properties.items() if "default" in one}
    return apply_values(found["job_configuration"], {"name": "a-run", **defaults, **given})


@pools
def test_a_template_sets_only_what_prefects_worker_knows(kind: str) -> None:
    known = published(kind)["job_configuration"].keys() | NEWER
    assert template_of(kind)["job_configuration"].keys() <= known


@pools
def test_every_variable_is_used_and_every_placeholder_is_a_variable(kind: str) -> None:
    found = template_of(kind)
    names = {one.name for one in find_placeholders(found["job_configuration"])}
    assert names | {"env"} == found["variables"]["properties"].keys(), "Prefect refuses others"


@pools
def test_an_image_is_named_by_digest_or_no_run_is_taken(kind: str) -> None:
    variables = template_of(kind)["variables"]
    jsonschema.Draft202012Validator.check_schema(variables)
    check = jsonschema.Draft202012Validator(variables)
    assert check.is_valid({"image": IMAGE})
    assert not check.is_valid({"image": "registry.example.org/bakewell:latest"})
    assert not check.is_valid({})


@pools
def test_a_run_begins_with_what_our_image_has(kind: str) -> None:
    """Programs that name an interpreter are not baked: there is no `prefect`."""
    assert rendered(kind, image=IMAGE)["command"].startswith("python3 -m prefect ")


def test_a_run_begins_in_a_folder_that_holds_nothing() -> None:
    """Prefect copies the folder in which a run begins: where the image begins, that is all there is."""
    assert rendered("docker", image=IMAGE)["container_create_kwargs"]["working_dir"] != "/"
    job = rendered("kubernetes", image=IMAGE)["job_manifest"]
    assert job["spec"]["template"]["spec"]["containers"][0]["workingDir"] != "/"


def test_a_docker_run_holds_no_secret_and_shares_the_home_of_compose() -> None:
    job = rendered("docker", image=IMAGE)
    assert job["volumes"] == ["bakewell_home:/data"]
    secret = {name for name, text in job["env"].items() if "prefect.blocks.secret." in text}
    assert secret == {platforms.JOURNAL, "COSIGN_PASSWORD"}


def test_kubernetes_own_model_takes_the_job_and_loses_nothing_of_it() -> None:
    """Its client passes over names that it does not know: whatever it passes over, it would not write again."""
    job = rendered("kubernetes", image=IMAGE)["job_manifest"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["args"] = container["args"].split()  # so the worker does, as with the variables:
    container["env"] = [{"name": name, "value": text} for name, text in container["env"].items()]
    client: Any = ApiClient()
    model = client.deserialize(json.dumps(job), "V1Job", "application/json")
    assert client.sanitize_for_serialization(model) == job


@pytest.mark.parametrize("platform", sorted(platforms.OF_THIS_MACHINE))
def test_where_nothing_may_serve_users_their_platforms_are_refused(
    platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(platforms.WITHOUT_INSTANCES, "1")
    with pytest.raises(RefusedError, match="nothing may serve users"):
        platforms.connect(platform)
    assert platforms.connect("memory").fleet is not None


@pools
def test_a_container_of_its_own_serves_nobody_and_knows_it(kind: str) -> None:
    assert template_of(kind)["job_configuration"]["env"][platforms.WITHOUT_INSTANCES] == "1"
    assert platforms.WITHOUT_INSTANCES not in os.environ
