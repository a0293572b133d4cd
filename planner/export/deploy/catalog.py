"""What manifests need to know of the world: images, parts and figures, each row with its source."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Literal

from planner.base.errors import UnsupportedError
from planner.base.records import record
from planner.base.versions import Version, version_of
from planner.memory.engines.catalog import Engine

_DATA = Path(__file__).resolve().parents[1] / "data"
Platform = Literal["cuda", "soc", "cpu"]
"""What an image is built for: NVIDIA GPUs of servers, NVIDIA's boards, CPUs alone."""
PLATFORMS: dict[str, Platform] = {"gpu": "cuda", "soc": "soc", "cpu": "cpu"}
"""Kind of a device → what its images are built for."""
_NUMBERS = 3


@record
class ContainerImage:
    """``reference`` is image:tag; ``version`` the engine's in it, empty where its tag is a build;
    ``source`` says where the tag was read."""

    reference: str
    version: str
    source: str


@record
class DynamoImage:
    """The runtime of a Dynamo release, and the version of the engine that is in it."""

    release: str
    reference: str
    version: Version
    source: str


def engine_image(engine: Engine, platform: Platform) -> ContainerImage:
    """The released image of ``engine`` at its version.

    Raises:
        UnsupportedError: there is none for the platform.
    """
    rows = [row for row in _rows("images.csv") if row["engine"] == engine.name]
    for row in rows:
        if row["platform"] == platform:
            version = _padded(engine.version)
            tag = row["tag"].format(version=version)
            stated = version if tag != row["tag"] else ""
            return ContainerImage(f"{row['image']}:{tag}", stated, _said_by(row))
    others = sorted({row["engine"] for row in _rows("images.csv") if row["platform"] == platform})
    raise UnsupportedError(
        f"{engine.label} on this kind of device ({platform}): no released image is known",
        hint="make the plan for an engine with one: "
        + ", ".join(f"--engine {name}" for name in others),
    )


def part_image(part: str) -> ContainerImage:
    """A router, sidecar or chart that stands beside the engine."""
    row = next(row for row in _rows("deploy_parts.csv") if row["part"] == part)
    return ContainerImage(f"{row['image']}:{row['tag']}", row["tag"], _said_by(row))


def dynamo_image(engine: Engine) -> DynamoImage:
    """The runtime of the first Dynamo release whose engine is not older than the plan's; of the
    newest, where all are older.

    Raises:
        UnsupportedError: Dynamo has no back end for the engine.
    """
    rows = [row for row in _rows("dynamo_releases.csv") if row["engine"] == engine.name]
    if not rows:
        able = sorted({row["engine"] for row in _rows("dynamo_releases.csv")})
        raise UnsupportedError(
            f"--deploy dynamo: it has no back end for {engine.name}",
            hint="make the plan for one that it has: "
            + ", ".join(f"--engine {name}" for name in able)
            + "; or --deploy compose or kubernetes",
        )
    rows.sort(key=lambda row: version_of(row["version"]))
    row = next((row for row in rows if version_of(row["version"]) >= engine.version), rows[-1])
    return DynamoImage(
        row["release"],
        f"{row['image']}:{row['release']}",
        version_of(row["version"]),
        _said_by(row),
    )


def figure(key: str) -> float:
    """A figure of ``data/deploy_figures.csv`` by its key."""
    return next(float(row["value"]) for row in _rows("deploy_figures.csv") if row["key"] == key)


def _said_by(row: dict[str, str]) -> str:
    """The source of a row, and when it was read."""
    return f"{row['source']}, {row['date']}"


def _padded(version: Version) -> str:
    """Three numbers and what follows them, as releases are tagged."""
    release = (*version.release, 0, 0)[: max(_NUMBERS, len(version.release))]
    return ".".join(map(str, release)) + version.public[len(version.base_version) :]


@cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    with (_DATA / name).open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))
