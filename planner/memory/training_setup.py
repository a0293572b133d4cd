"""Records of a training run: layout, recipe (which state is kept in which format), choices."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2
from types import MappingProxyType
from typing import Literal

from planner.base.errors import UnknownNameError
from planner.formats.elements import element

Mode = Literal["full", "lora"]
Recompute = Literal["none", "selective", "full"]
AttentionKernel = Literal["flash", "plain"]
MODES: tuple[Mode, ...] = ("full", "lora")
RECOMPUTE: tuple[Recompute, ...] = ("none", "selective", "full")
KERNELS: tuple[AttentionKernel, ...] = ("flash", "plain")


@dataclass(frozen=True, slots=True)
class TrainLayout:
    """Ranks of a training run; devices = ``tp`` · ``cp`` · ``pp`` · ``dp``.

    ``cp`` = context parallel, ``ep`` = expert parallel, ``etp`` = tensor parallel inside an
    expert, ``chunks`` = model chunks a rank holds under the interleaved schedule. The first and the
    last pipeline stage, which hold the embedding and the head too, have ``first`` and ``last``
    layers where that is not 0, the others as many each of the rest. Dense parameters
    are replicated over dp·cp ranks, routed experts over dp·tp·cp / (ep·etp): Megatron-Core's
    groups.
    """

    tp: int = 1
    cp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    etp: int = 1
    chunks: int = 1
    first: int = 0
    last: int = 0

    @property
    def devices(self) -> int:
        return self.tp * self.cp * self.pp * self.dp

    @property
    def dense_shards(self) -> int:
        """Ranks that hold the same dense parameters: what ZeRO divides them over."""
        return self.dp * self.cp

    @property
    def expert_shards(self) -> int:
        """Ranks that hold the same routed experts."""
        return self.dp * self.tp * self.cp // (self.ep * self.etp)


@dataclass(frozen=True, slots=True)
class Stored:
    """How a saved tensor is kept: ``bits`` an element, an FP32 scale for ``tile`` of them (0 none).

    ``bytes_of`` rounds both parts up to whole bytes.
    """

    bits: int
    tile: int = 0

    def bytes_of(self, elements: int) -> int:
        """Bytes of ``elements`` elements and their scales [B]."""
        scales = -(-elements // self.tile) * 4 if self.tile else 0
        return -(-elements * self.bits // 8) + scales


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """Formats of one way to train. Bytes are per parameter.

    ``weights`` is the scheme of the working copy of linear layers, ``other`` the format of the
    working copy of everything else (embedding, head, router, norms). ``master`` is 0 where the
    working copy is already what the optimizer updates. ``linear_input``, ``gate_input`` and
    ``attention_output`` say how what the backward pass needs is cached; ``activation`` the rest.
    ``selective`` names the groups of tensors that selective recompute drops.
    """

    id: str
    weights: str
    other: str
    gradient: int
    master: int
    moments: int
    activation: Stored
    linear_input: Stored
    gate_input: Stored
    attention_output: Stored
    selective: frozenset[str]
    loss_scaled: bool
    source: str

    @property
    def state_bytes(self) -> int:
        """Bytes a parameter for gradient, master copy and moments; the working copy is extra."""
        return self.gradient + self.master + self.moments


_WORD, _HALF = Stored(32), Stored(16)
_TILE = Stored(8, tile=128)
_SCORES = frozenset({"scores"})
_ZERO = "Rajbhandari et al., ZeRO, arXiv 1910.02054, section 3.1"


def _half_precision(id: str, *, gradient: int = 2, loss_scaled: bool = False) -> TrainingRecipe:
    return TrainingRecipe(
        id=id,
        weights=id,
        other=id,
        gradient=gradient,
        master=4,
        moments=8,
        activation=_HALF,
        linear_input=_HALF,
        gate_input=_HALF,
        attention_output=_HALF,
        selective=_SCORES,
        loss_scaled=loss_scaled,
        source=_ZERO,
    )


RECIPES = MappingProxyType(
    {
        r.id: r
        for r in (
            TrainingRecipe(
                id="fp32",
                weights="fp32",
                other="fp32",
                gradient=4,
                master=0,
                moments=8,
                activation=_WORD,
                linear_input=_WORD,
                gate_input=_WORD,
                attention_output=_WORD,
                selective=_SCORES,
                loss_scaled=False,
                source="Adam in FP32 throughout",
            ),
            _half_precision("fp16", loss_scaled=True),
            _half_precision("bf16"),
            TrainingRecipe(
                id="fp8-deepseek",
                weights="fp8-block",
                other="bf16",
                gradient=4,
                master=4,
                moments=4,
                activation=_HALF,
                linear_input=_TILE,
                gate_input=_TILE,
                attention_output=Stored(12, tile=128),
                selective=frozenset({"scores", "norm-output", "mla-up", "gate-output"}),
                loss_scaled=False,
                source="DeepSeek-V3 technical report, arXiv 2412.19437, section 3.3",
            ),
        )
    }
)


def recipe(name: str) -> TrainingRecipe:
    """The recipe ``name``. Raises UnknownNameError for a name outside RECIPES."""
    known_recipe = RECIPES.get(name.strip().lower().replace("_", "-"))
    if known_recipe is None:
        raise UnknownNameError("training recipe", name, RECIPES)
    return known_recipe


@dataclass(frozen=True, slots=True)
class TrainSetup:
    """Everything that decides bytes besides the model and the layout.

    ``seq`` [tokens] of a sample, ``micro_batch`` [samples] of one pipeline pass,
    ``micro_batches`` passes a step and replica (None: enough to fill the pipeline). ``kernel``:
    flash attention keeps one FP32 statistic a head and token in place of the scores. ``dropout``
    keeps the masks of three dropouts a layer and one after the embedding.
    """

    recipe: TrainingRecipe
    mode: Mode
    zero: int
    seq: int
    micro_batch: int
    recompute: Recompute
    sequence_parallel: bool
    lora_rank: int = 0
    lora_kinds: frozenset[str] = frozenset()
    micro_batches: int | None = None
    kernel: AttentionKernel = "flash"
    dropout: bool = False


@dataclass(frozen=True, slots=True)
class LossScaling:
    """What one loss scale does to FP16 gradients.

    A gradient above ``largest_gradient`` overflows once multiplied by ``scale``; one below
    ``smallest_normal`` loses bits, one at or under half of ``smallest_subnormal`` becomes 0.
    ``overflow_margin_bits`` is log2(largest_gradient / ``reference``), the doublings left to the
    scale before a gradient of ``reference`` overflows; negative means that it does already.
    """

    scale: int
    reference: float
    largest_gradient: float
    smallest_normal: float
    smallest_subnormal: float
    overflow_margin_bits: float


def loss_scaling(scale: int, reference: float = 1.0) -> LossScaling:
    """The FP16 range of gradients under ``scale``; ``reference`` is the largest one expected.

    FP16: largest 65,504, smallest normal 2^-14, smallest subnormal 2^-24 (IEEE 754-2019).
    """
    half = element("fp16")
    return LossScaling(
        scale=scale,
        reference=reference,
        largest_gradient=half.max_finite / scale,
        smallest_normal=half.min_normal / scale,
        smallest_subnormal=half.min_subnormal / scale,
        overflow_margin_bits=log2(half.max_finite / scale / reference),
    )
