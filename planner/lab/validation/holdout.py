"""Which groups of shapes a fit does not see: every third one, by the hash of its key."""

from __future__ import annotations

from hashlib import sha256

FOLDS = 3


def held_out(key: str) -> bool:
    """Whether the group called ``key`` is kept back from fits: sha256 as a number, modulo 3 is 0.

    Keys: "n,k" for GEMM; "k" for quantise kernels; "heads,kv_heads,head_dim" for attention;
    "heads,batch" for MLA; "op,num_gpus,message_elements" for collectives; "hidden_size,topk,
    num_experts" for dispatch; "moe_tp,moe_ep" for experts of a kernel with one shape.
    """
    return fold(key) == 0


def fold(key: str) -> int:
    """Which third of the groups the one called ``key`` belongs to, 0 to 2.

    Expert shapes, called "hidden,width,experts a token,experts", are kept back third by third.
    """
    return int(sha256(key.encode()).hexdigest(), 16) % FOLDS


def fold_of(key: str) -> int:
    """The part of FOLDS that the group called ``key`` is left out with, where no group of a table
    is kept back (a sample without them) or a choice is made among the groups that are not."""
    return int(sha256(f"fold {key}".encode()).hexdigest(), 16) % FOLDS
