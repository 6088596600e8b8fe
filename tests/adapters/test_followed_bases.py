"""A followed base: baked as if Git named the newer digest; nothing that Git names is changed."""

from pathlib import Path

import pytest

from tasks.adapters.layout import LayoutStore
from tasks.bake.bakery import bake, known_artifact, read_inputs
from tasks.references import BaseUsed, by_digest, follow, parse_reference
from tasks.service import ServiceSpec
from tests.support.baking import service
from tests.support.standing import TAG, base_image

OLD, NEW = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
DOCKERFILE = """\
FROM python:3.12@{digest} AS build
FROM r.io:5000/base:12@{other}
COPY --from=build /a /a
CMD ["/a"]
"""


def test_a_bake_on_a_followed_base_is_the_one_that_naming_it_would_give(tmp_path: Path) -> None:
    bases, store = LayoutStore(tmp_path / "bases"), LayoutStore(tmp_path / "store")
    old = base_image(bases, "old")
    new = base_image(bases, "new")
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "main.py").write_text("print()\n")
    written = f"{bases.repository}:{TAG}@{old}"
    spec = service(base=written)
    first = bake(spec, folder, store, tmp_path / "cache")
    followed = bake(spec, folder, store, tmp_path / "cache", followed={written: new})
    named = service(base=f"{bases.repository}@{new}")
    assert followed.artifact == known_artifact(named, folder, store) != first.artifact
    assert followed.materials.base == f"{bases.repository}@{new}"
    assert first.bases == (BaseUsed(written, bases.repository, TAG, old),)
    assert follow(first.bases) == {}
    assert follow(followed.bases) == {written: new}
    assert bake(spec, folder, store, tmp_path / "cache").artifact == first.artifact


def dockerfile_service(folder: Path, digest: str) -> ServiceSpec:
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(DOCKERFILE.format(digest=digest, other=OLD))
    return ServiceSpec.model_validate(
        {
            "service": "hello",
            "bake": {"dockerfile": "Dockerfile"},
            "environments": [{"name": "production", "platform": "docker"}],
        }
    )


def test_of_a_dockerfile_every_image_with_a_tag_can_be_followed(tmp_path: Path) -> None:
    spec = dockerfile_service(tmp_path, OLD)
    found = read_inputs(spec, tmp_path)
    python, base = f"python:3.12@{OLD}", f"r.io:5000/base:12@{OLD}"
    assert found.bases == (
        BaseUsed(python, "docker.io/library/python", "3.12", OLD),
        BaseUsed(base, "r.io:5000/base", "12", OLD),
    )
    followed = read_inputs(spec, tmp_path, {python: NEW})
    named = read_inputs(dockerfile_service(tmp_path / "named", NEW), tmp_path / "named")
    assert followed.key == named.key != found.key
    images = followed.materials(tmp_path)
    assert (images.base, images.images) == (
        f"r.io:5000/base@{OLD}",
        (f"docker.io/library/python@{NEW}",),
    )
    assert (tmp_path / "Dockerfile").read_text().startswith(f"FROM {python}")


@pytest.mark.parametrize(
    ("written", "repository", "tag"),
    [
        ("r.io/base", "r.io/base", ""),
        ("r.io:5000/base", "r.io:5000/base", ""),
        ("r.io:5000/base:12", "r.io:5000/base", "12"),
        ("layout:../base", "layout:../base", ""),
        ("layout:/a/base:12", "layout:/a/base", "12"),
    ],
)
def test_a_tag_is_told_from_a_port_and_from_a_layout(
    written: str, repository: str, tag: str
) -> None:
    found = parse_reference(f"{written}@{OLD}")
    assert (found.repository, found.tag, found.digest) == (repository, tag, OLD)
    assert by_digest(f"{written}@{OLD}") == f"{repository}@{OLD}"
    assert by_digest("scratch") == "scratch"
