"""Qwen-Omni: the thinker sees and hears and writes text; what speaks is named and not counted."""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families import seeing
from planner.models.fields import GENERIC, Fields
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec

MODEL_TYPES = ("qwen2_5_omni", "qwen3_omni_moe")
_SPEAKING = {
    "talker_config": "the talker, which makes speech tokens: engines that write text leave it out",
    "token2wav_config": "token2wav, which makes waves of speech tokens",
    "code2wav_config": "code2wav, which makes waves of speech tokens",
}
_AROUND = GENERIC | {
    "assistant_token_id", "enable_audio_output", "enable_talker", "dtype", "im_end_token_id",
    "im_start_token_id", "init_std", "system_token_id", "torch_dtype", "tts_bos_token_id",
    "tts_eos_token_id", "tts_pad_token_id", "user_token_id",
}  # fmt: skip


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of the thinker of a Qwen-Omni configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    thinker = fields.nested("thinker_config")
    if thinker is None:
        raise fields.error("thinker_config", "is missing")
    for key in ("dtype", "torch_dtype"):
        thinker.inherit(fields, key)
    thinker.take("model_type")
    spec = seeing.build(thinker, f"{model_type}_thinker", origin)
    silent = [what for key, what in _SPEAKING.items() if fields.take(key) is not None]
    fields.finish(_AROUND)
    return replace(
        spec,
        model_type=model_type,
        rows=tuple(rows.renamed(spec.rows, "", "thinker.")),
        not_counted=(*spec.not_counted, *silent),
    )
