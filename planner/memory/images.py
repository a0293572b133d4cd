"""Memory of an encoder of images beside its weights: one pass over its patches, and what it leaves.

Its budget is vLLM 0.32's (compute_mm_encoder_budget, MultiModalBudget, profile_run of its runner):
outputs are kept for as many tokens as a step takes, or those of the largest item; so many items of
that size are encoded at once. Sizes of a pass are sums of tensor sizes, as of the text model.
"""

from __future__ import annotations

from planner.base.records import record
from planner.memory.resident import Line
from planner.models.spec import ImageEncoder, ModelSpec


@record
class EncoderBudget:
    """``kept_tokens`` of outputs, ``items`` of ``item_tokens`` each in one pass; ``what`` they
    are."""

    kept_tokens: int
    items: int
    item_tokens: int
    what: str


def encoder_budget(
    encoder: ImageEncoder,
    *,
    tokens: int,
    sequences: int,
    context: int,
) -> EncoderBudget:
    """The budget for steps of ``tokens`` and requests of ``context`` tokens.

    The largest item is an image, or as many pairs of frames of its size as a request holds.
    """
    pairs = max(1, min(encoder.frames // 2, context // encoder.tokens))
    item = pairs * encoder.tokens
    kept = max(tokens, item)
    items = max(1, min(kept // item, sequences * max(1, context // item)))
    what = f"videos of {2 * pairs} frames" if encoder.frames else "images"
    return EncoderBudget(kept, items, item, what)


def pass_lines(encoder: ImageEncoder, patches: int, tp: int, width: int) -> list[Line]:
    """The parts of the peak of one pass over ``patches`` patches on a rank [B]."""
    hidden, inner = encoder.hidden, encoder.inner
    attention = 6 * hidden // tp
    mlp = (3 if encoder.gated else 2) * inner // tp
    merger = 2 * hidden  # before and after its first matrix
    tokens = patches // encoder.merge
    return [
        Line("patches", patches * encoder.pixels * width, "pixels of every patch"),
        Line(
            "encoder-stream",
            2 * patches * hidden * width,
            "hidden state and residual of every patch",
        ),
        Line(
            "encoder-layer",
            patches * max(attention, mlp, merger) * width,
            "the widest of queries, keys and values before and after rotation with the output, "
            "of the MLP, and of the merger",
        ),
        Line(
            "encoder-outputs",
            tokens * encoder.out * width,
            f"{tokens} tokens of {encoder.out} elements",
        ),
    ]


def image_lines(
    spec: ModelSpec,
    budget: EncoderBudget,
    tp: int,
    width: int,
) -> tuple[list[Line], list[Line]]:
    """(the parts of a pass over the budget's items, what is kept beside text steps) [B]."""
    encoder = spec.encoder
    if encoder is None:
        return [], []
    patches = budget.items * budget.item_tokens * encoder.merge
    kept = Line(
        "encoder-cache",
        budget.kept_tokens * encoder.out * width,
        f"outputs of {budget.kept_tokens} tokens of images; {encoder.limit}",
    )
    return pass_lines(encoder, patches, tp, width), [kept]


def deep_features(spec: ModelSpec) -> int:
    """Layers of the text model that are given features of their own (Qwen3-VL's deepstack)."""
    return 0 if spec.encoder is None else spec.encoder.out // spec.hidden_size - 1
