"""The limit on loss: as asked, else the device's uniform 8-bit scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.base.errors import InputError
from planner.formats.schemes import scheme as scheme_by_id
from planner.hardware.profile import DeviceProfile
from planner.messages.message import Note, message
from planner.models.spec import ModelSpec
from planner.planning.question.given_values import NO_LIMIT, GivenValues
from planner.quality.floor import floor_of, without_floor
from planner.quality.loss_units import NATS
from planner.quality.sensitivity.level import unsaturated
from planner.throughput.kernels import refusal

if TYPE_CHECKING:
    from planner.quality.profile import Profile

BROKEN_NATS = 1.0
"""A limit on loss that is no limit: a plain number from here on was meant in another unit."""


WIDENED = "ggml-q8_0"


def max_loss(
    spec: ModelSpec,
    device: DeviceProfile,
    given_values: GivenValues,
    profile: Profile | None,
) -> tuple[str | None, float | None, tuple[Note, ...]]:
    """(scheme whose uniform loss is the limit, None, notes of a default) or (None, limit of the
    sum over units in nats or the unit of a profile of scores, notes). A number of nats holds for
    the loss that is told, its floor included: less than the floor only a release keeps in which
    nothing is changed.

    Raises:
        InputError: a number that is no limit, or in a unit that the profile does not have.
    """
    if given_values.max_loss is None:
        return _default_limit(spec, device, profile)
    text = str(given_values.max_loss).strip()
    if text.lower() == NO_LIMIT:
        return None, None, ()
    plain = text.lower().removesuffix("nats").strip()
    try:
        number = float(plain)
    except ValueError:
        return scheme_by_id(text).id, None, ()
    unit_named = plain != text.lower()
    in_nats = profile is None or profile.unit == NATS
    if unit_named and profile is not None and not in_nats:
        raise InputError(
            f"max-loss = {text}: under this profile ({profile.label}) loss is relative, not nats",
            hint="give a number × uniform "
            f"{profile.anchor}, or name a scheme: no worse than it uniformly",
        )
    if not 0 <= number < float("inf"):
        raise InputError(f"max-loss = {text} is out of range", hint="nats, 0 or more")
    if number >= BROKEN_NATS and not unit_named and in_nats:
        raise InputError(
            f"max-loss = {text}: a number is nats of mean KL, and of a model that loses as "
            "many nothing is left",
            hint=f"for {text} × a scheme's loss, multiply the nats "
            f"that `plan estimate {spec.id} {device.id} --scheme fp8-block` prints; "
            f"'{text} nats' means it",
        )
    if profile is None:
        from planner.quality.sensitivity.predict import sensitivities

        saturation = sensitivities(spec).saturation
    else:
        saturation = profile.saturation
    floor = floor_of(spec).value_nats if in_nats else 0.0
    return None, unsaturated(without_floor(number, floor), saturation), ()


def _default_limit(
    spec: ModelSpec, device: DeviceProfile, profile: Profile | None
) -> tuple[str, None, tuple[Note, ...]]:
    """The loss of the 8-bit scheme that the device multiplies natively, and its note.

    A release in block FP8 with power-of-two scales is its own limit: activations cost it more than
    those of fp8-block, and a limit that excludes the release would be none.
    """
    own = [(spec.quantization, "fp8")] if spec.quantization == "fp8-block-ue8m0" else []
    for name, key in (
        *own,
        ("fp8-block", "fp8"),
        ("fp8-channel", "fp8"),
        ("fp8-tensor", "fp8"),
        ("int8-w8a8", "int8"),
    ):
        known = profile is None or profile.uniform_loss(name) is not None
        if known and device.rate(key) is not None and not refusal(device, scheme_by_id(name)):
            why = (
                message("assumptions.uniform_8_bit_scheme_of_release", device=device.id)
                if (name, key) in own
                else message("assumptions.uniform_8_bit_scheme", device=device.id)
            )
            return name, None, (Note("max-loss default", name, why),)
    widened = device.platform == "metal" and not refusal(device, scheme_by_id(WIDENED))
    if widened and (profile is None or profile.uniform_loss(WIDENED) is not None):
        note = Note(
            "max-loss default",
            WIDENED,
            message("assumptions.weights_of_8_bits_widened", device=device.id),
        )
        return WIDENED, None, (note,)
    reason = refusal(device, scheme_by_id(WIDENED)) if device.kind == "cpu" else ""
    note = Note(
        "max-loss default",
        "bf16",
        message("assumptions.multiplies_no_8_bit_format_nor_ggml", device=device.id, reason=reason)
        if reason
        else message("assumptions.multiplies_no_8_bit_format", device=device.id),
    )
    return "bf16", None, (note,)
