"""Reading policies: `<name>.yaml` in $BAKEWELL_POLICIES, else in deployments/policies, with the OpenVEX files they name."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tasks.adapters import openvex
from tasks.adapters.settings_file import FileKind, read_settings
from tasks.errors import InvalidInputError
from tasks.oci import canonical, digest_of
from tasks.policy import Policy, PolicyInForce, Waiver

FOLDER: Final = "BAKEWELL_POLICIES"
SHIPPED: Final = Path(__file__).parents[2] / "deployments" / "policies"
MAX_VEX_BYTES: Final = 10_000_000


def policies_folder() -> Path:
    """Where the policies of this machine are."""
    return Path(os.environ.get(FOLDER) or SHIPPED).absolute()


def policy_names(folder: Path) -> list[str]:
    """What can be named by `policy:`."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def read_policy(name: str, folder: Path) -> PolicyInForce:
    """As it is now: whoever asks again sees what was changed since.

    InvalidInputError names every mistake with its line, and the policies that there are if this one is not.
    """
    file = folder / f"{name}.yaml"
    there = ", ".join(policy_names(folder)) or "none"
    kind = FileKind(
        f"policy {name}",
        "a policy is a mapping; `{}` has the strict defaults",
        f"policies in {folder}: {there} (`policy:` in service.yaml, ${FOLDER} names the folder)",
    )
    policy, _ = read_settings(Policy, file, kind)
    waivers = (*policy.waivers, *_from_others(policy, file))
    whole = policy.model_copy(update={"waivers": waivers, "vex": ()})
    return PolicyInForce(name, whole, digest_of(canonical(whole.model_dump(mode="json"))))


def _from_others(policy: Policy, file: Path) -> Iterator[Waiver]:
    for one in policy.vex:
        path = file.parent / one.file
        try:
            if path.stat().st_size > MAX_VEX_BYTES:
                raise InvalidInputError(
                    f"{file} names {path}; it is larger than {MAX_VEX_BYTES} bytes; that is no OpenVEX document"
                )
            raw = path.read_bytes()
        except OSError as error:
            raise InvalidInputError(
                f"{file} names {path}; it cannot be read: {error.strerror}; put it there, or take it out of `vex`"
            ) from error
        yield from openvex.waivers_in(raw, str(path), one.owner, one.expires)
