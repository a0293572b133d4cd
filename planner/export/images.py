"""What the command of a server says of images: a plan of a model that sees has no encoder in it."""

from __future__ import annotations

from planner.planning.plan.record import Plan


def image_words(engine: str, plan: Plan) -> tuple[list[str], list[str]]:
    """(words that leave the encoder out, what is left to say); nothing for models of text.

    vLLM initialises no encoder where every kind of input is limited to none; llama.cpp loads one
    only with --mmproj; SGLang and TensorRT-LLM load the whole model.
    """
    note = next((a for a in plan.assumptions if a.key == "images"), None)
    if note is None or engine == "llama.cpp":
        return [], []
    if engine == "vllm":
        return ["--language-model-only"], [
            "for images leave --language-model-only out: their encoder then needs room as well "
            "(`plan memory --with-vision`)"
        ]
    size = note.value.removeprefix("encoder of ").removesuffix(" not loaded")
    return [], [f"images: the server loads their encoder as well, {size} beside the plan"]
