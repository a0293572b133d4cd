"""What every column of a sweep's table is: its unit, and a sentence."""

from __future__ import annotations

from planner.planning.question.parameters import LIMITS_ON_TIME, PARAMETERS

SECONDS, RATE, BYTES, USD, JOULES = "s", "tokens/s", "B", "USD per million tokens", "J/token"
LOW, HIGH = "lower end of the 80 % interval", "upper end of the 80 % interval"


def _limit(help_line: str) -> str:
    """A flag's line as a column's sentence, which is in seconds."""
    return help_line[0].lower() + help_line[1:].replace(" [ms]", "").removesuffix(".")


def _interval(name: str, unit: str, text: str) -> dict[str, tuple[str, str]]:
    return {
        name: (unit, text),
        f"{name}_low": (unit, f"{text}: {LOW}"),
        f"{name}_high": (unit, f"{text}: {HIGH}"),
    }


DESCRIBED: dict[str, tuple[str, str]] = {
    "question": ("", "place of the question in the sweep, from 1"),
    "key": ("", "digest of what is asked, the same in every sweep"),
    "verb": ("", "plan or estimate"),
    "model": ("", "id of the model"),
    "device": ("", "id of the device"),
    "service": ("", "name of the service level"),
    "scheme": ("", "scheme of an estimate"),
    "schemes": ("", "schemes that a plan may take"),
    "kv": ("", "cache layout that was asked for"),
    "engine": ("", "engine that was asked for"),
    "objective": ("", "what is optimised"),
    "scenario": ("", "scenario that the question takes its values from"),
    "profile": ("", "quality profile of the model"),
    "untie": ("", "layers may differ"),
    "drop_policies": ("", "rules that are left out"),
    "exact": ("", "the optimum, without regard to how sure the numbers are"),
    "max_loss": ("", "limit on the loss: a scheme, or a number in the unit of loss"),
    "memory_bytes": (BYTES, "limit on the bytes of a device"),
    **{
        name.replace("_seconds", "_limit_seconds"): (SECONDS, _limit(PARAMETERS[name].help))
        for name in LIMITS_ON_TIME
    },
    "ttft_limit_seconds": (SECONDS, "limit on the time to first token"),
    "tpot_limit_seconds": (SECONDS, "limit on the time per output token"),
    "asked_devices": ("", "devices that were asked for"),
    "asked_tp": ("", "tensor-parallel width that was asked for"),
    "asked_dp": ("", "attention data-parallel width that was asked for"),
    "asked_pp": ("", "pipeline stages that were asked for"),
    "asked_ep": ("", "expert-parallel width that was asked for"),
    "asked_context": ("tokens", "context that was asked for"),
    "asked_isl": ("tokens", "prompt that was asked for"),
    "asked_osl": ("tokens", "output that was asked for"),
    "asked_batch": ("sequences", "batch of a replica that was asked for"),
    "asked_concurrency": ("requests", "requests in flight over all replicas that were asked for"),
    "workload": ("", "requests by name"),
    "prefix_hit_rate": ("1", "share of the prompt that is in the cache already"),
    "slots": ("", "what a sequence reserves"),
    "status": ("", "ok, infeasible, unsupported, invalid or failed"),
    "limit": ("", "limits that leave no plan"),
    "reason": ("", "why there is no answer"),
    "served_by": ("", "engine with its version"),
    "devices": ("", "devices of the deployment"),
    "replicas": ("", "replicas of the deployment"),
    "tp": ("", "tensor-parallel width"),
    "dp": ("", "attention data-parallel width"),
    "pp": ("", "pipeline stages"),
    "ep": ("", "expert-parallel width"),
    "context_tokens": ("tokens", "longest context"),
    "isl": ("tokens", "prompt"),
    "osl": ("tokens", "output"),
    "batch": ("sequences", "sequences in flight of a replica"),
    **_interval("tpot_seconds", SECONDS, "time per output token"),
    "tpot_basis": ("", "what the time per output token rests on"),
    **_interval("ttft_seconds", SECONDS, "time to first token"),
    "ttft_basis": ("", "what the time to first token rests on"),
    **_interval("output_tokens_per_second", RATE, "output tokens of the deployment"),
    **_interval(
        "output_tokens_per_second_per_device", f"{RATE}/device", "output tokens of a device"
    ),
    **_interval("usd_per_million_output_tokens", USD, "price of output tokens"),
    **_interval("joules_per_output_token", JOULES, "energy of an output token"),
    "weights_bytes": (BYTES, "weights on the fullest device"),
    "kv_cache_bytes": (BYTES, "cache on the fullest device"),
    "activation_bytes": (BYTES, "activations on the fullest device"),
    "runtime_bytes": (BYTES, "what runtime and engine take of the fullest device"),
    "total_bytes": (BYTES, "all on the fullest device"),
    "usable_bytes": (BYTES, "what may be used of a device"),
    "loss": ("see loss_unit", "predicted loss"),
    "loss_low": ("see loss_unit", "predicted loss: lower end of its band"),
    "loss_high": ("see loss_unit", "predicted loss: upper end of its band"),
    "loss_unit": ("", "unit of the loss, and what it rests on"),
    "assignment": ("", "scheme of every kind of module and cache"),
    "gap": ("1", "proven relative distance of the optimum from its bound"),
    "layout": ("", "ways in which a replica is divided"),
    "verdict": ("", "recipe, released, uniform or mix: what the plan recommends"),
    "formats": ("", "schemes of the plan, most bytes first"),
    "cache": ("", "cache layouts of the plan, most layers first"),
    "needs_new_weights": (
        "",
        "weights have to be made: no release has them, no engine makes them while loading",
    ),
    "checkpoint": ("", "public release whose weights are those of the plan"),
    "usd_per_device_hour": (
        "USD/h",
        "price of a device: the sweep's, the scenario's or the profile's",
    ),
}
"""(unit, description) by column; no unit: text, a count, or yes and no."""
