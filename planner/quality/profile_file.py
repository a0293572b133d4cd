"""Profile files: read strictly, written the same way every time.

Check of a profile file's data; turned into frozen records at once.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from planner.base.errors import DataError
from planner.quality import profile as records
from planner.quality.profile import Profile

MAX_BYTES = 512 << 20


def read_profile(path: Path) -> Profile:
    """The profile in ``path``.

    Raises:
        DataError: not a file, too large, not JSON, or not a profile.
    """
    from planner.base.strict_json import parse_object, read_config_bytes

    if not path.is_file():
        raise DataError(
            f"profile {str(path)!r} does not exist",
            hint="write one with `plan profile CHECKPOINT -o FILE`",
        )
    text = read_config_bytes(path, limit=MAX_BYTES)
    return parse_profile(parse_object(text, str(path)), str(path))


def profile_text(profile: Profile) -> str:
    """JSON with one line a unit and tensor; the same profile gives the same bytes."""
    data = as_dict(profile)
    lines = []
    for key, value in data.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = ",\n".join("  " + _flat(row) for row in value)
            lines.append(f" {json.dumps(key)}: [\n{rows}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {_flat(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def as_dict(value: Any) -> Any:
    """Records as plain data, empty optional mappings left out."""
    if is_dataclass(value):
        return {
            f.name: as_dict(getattr(value, f.name))
            for f in fields(value)
            if not (
                f.name in ("flushed", "overflow", "parts", "settings", "joint")
                and not getattr(value, f.name)
            )
        }
    if isinstance(value, tuple):
        return [as_dict(v) for v in value]
    return value


def _flat(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


_Share = Annotated[float, Field(ge=0, le=1)]
_Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Loss = Annotated[float, Field(ge=0, le=1e15)]
_Losses = dict[str, _Loss]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class _Model(_Strict):
    id: str
    model_type: str
    layers: Annotated[int, Field(ge=1, le=1 << 16)]
    hidden_size: Annotated[int, Field(ge=1)]
    quantization: str
    config_sha256: str
    structure_sha256: str


class _Checkpoint(_Strict):
    sha256: str
    format: str
    files: int
    matrices: int
    payload_bytes: int


class _Unit(_Strict):
    unit: str
    kind: str
    layer: Annotated[int, Field(ge=-1)]
    alpha: _Loss | None
    alpha_basis: str
    error_basis: str
    error: _Losses
    loss: _Losses
    flushed: dict[str, _Share] = {}
    overflow: dict[str, _Share] = {}
    parts: dict[str, _Losses] = {}


class _Tensor(_Strict):
    name: str
    kind: str
    layer: int
    matrices: int
    amax: _Size
    kurtosis: _Size
    outlier_channels: int
    weight_error: _Losses


class _Router(_Strict):
    layer: int
    basis: str
    margin_median: _Size
    flip_rate: dict[str, _Share]


class _Joint(_Strict):
    scheme: str
    total: _Size
    joint: _Size
    flips: _Share


class _Skipped(_Strict):
    tensor: str
    unit: str
    reason: str


class _Profile(_Strict):
    profile_version: Literal["1"]
    tool_version: str
    model: _Model
    checkpoint: _Checkpoint
    tier: Literal["T0", "T1", "T2", "T3"]
    unit: Literal["relative", "nats"]
    anchor: str
    band_factor: Annotated[float, Field(ge=1, le=1e6)]
    band_basis: str
    seed: int
    schemes: list[str]
    kv_layouts: list[str]
    units: Annotated[list[_Unit], Field(min_length=1)]
    tensors: list[_Tensor]
    routers: list[_Router]
    skipped: list[_Skipped]
    notes: list[str]
    settings: dict[str, Any] = {}
    joint: list[_Joint] = []


def parse_profile(data: object, place: str) -> records.Profile:
    """The profile in ``data``; ``place`` names the file in errors.

    Raises:
        DataError: a key is missing, unknown or of the wrong type, a loss is negative or not finite,
            or a unit is given twice.
    """
    try:
        checked = _Profile.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "top level"
        raise DataError(
            f"{place}: {where}: {first['msg']}",
            hint="a profile is the file that `plan profile` writes",
        ) from None
    keys = [(u.kind, u.layer) for u in checked.units]
    twice = (
        next((k for k in keys if keys.count(k) > 1), None) if len(set(keys)) < len(keys) else None
    )
    if twice is not None:
        raise DataError(
            f"{place}: {twice[0]} of layer {twice[1]} is given twice", hint="keep one of the two"
        )
    return _record(checked)


def _record(p: _Profile) -> records.Profile:
    return records.Profile(
        p.profile_version,
        p.tool_version,
        records.ProfiledModel(**p.model.model_dump()),
        records.ProfiledCheckpoint(**p.checkpoint.model_dump()),
        p.tier,
        p.unit,
        p.anchor,
        p.band_factor,
        p.band_basis,
        p.seed,
        tuple(p.schemes),
        tuple(p.kv_layouts),
        tuple(records.ProfileUnit(**u.model_dump()) for u in p.units),
        tuple(records.ProfileTensor(**t.model_dump()) for t in p.tensors),
        tuple(records.RouterStatistics(**r.model_dump()) for r in p.routers),
        tuple(records.Skipped(**s.model_dump()) for s in p.skipped),
        tuple(p.notes),
        p.settings,
        tuple(records.JointCheck(**j.model_dump()) for j in p.joint),
    )
