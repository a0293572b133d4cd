"""``python -m planner.hardware.accept``: check every bundled profile and record its digest."""

from __future__ import annotations

import copy
import hashlib
import tomllib
from pathlib import Path

from planner.base.files import data_folder
from planner.hardware.catalog import device_ids
from planner.hardware.checks import check_document
from planner.hardware.classes import FOLDER, class_names
from planner.hardware.loader import ACCEPTED
from planner.hardware.variants import FAMILIES, family_bytes, family_names, variant_documents


def accepted_text(folder: Path) -> str:
    """The list of digests, one ``sha256  name`` a line.

    Raises:
        DataError: a profile breaks the schema or a rule.
    """
    lines = []
    for name in device_ids():
        path = folder / f"{name}.toml"
        data = path.read_bytes()
        check_document(tomllib.loads(data.decode("utf-8")), path=path)
        lines.append(f"{hashlib.sha256(data).hexdigest()}  {path.name}\n")
    for name in family_names():
        for device, document in variant_documents(name).items():
            check_document(copy.deepcopy(document), path=folder / FAMILIES / f"{device}.toml")
        digest = hashlib.sha256(family_bytes(name)).hexdigest()
        lines.append(f"{digest}  {FAMILIES}/{name}.toml\n")
    for name in class_names():
        data = (folder / FOLDER / f"{name}.toml").read_bytes()
        lines.append(f"{hashlib.sha256(data).hexdigest()}  {FOLDER}/{name}.toml\n")
    return "".join(lines)


if __name__ == "__main__":
    where = data_folder("hardware_profiles")
    (where / ACCEPTED).write_text(accepted_text(where), encoding="utf-8", newline="\n")
