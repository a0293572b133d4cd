"""A pass over patches against tensors that are alive: PyTorch's modules on the meta device, with
rotation, attention and activation as one operator each, as engines have them."""

from typing import Any

import pytest

from planner.memory.images import pass_lines
from planner.memory.resident import total
from planner.models.spec import ImageEncoder

pytestmark = pytest.mark.oracle

CASES = (
    ImageEncoder(3, 1280, 16, 3420, True, 1176, 4, 3584, 16384, 4096, "Qwen2.5-VL"),
    ImageEncoder(3, 1152, 16, 4304, False, 588, 16, 2560, 32768, 2048, "Gemma 3, eight images"),
    ImageEncoder(3, 1024, 16, 4096, True, 588, 4, 5120, 12100, 3025, "Mistral Small 3.1"),
)


@pytest.mark.parametrize("encoder", CASES, ids=lambda encoder: encoder.limit)
def test_the_sum_of_a_pass_is_at_most_a_fifth_above_what_is_alive(encoder: ImageEncoder) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed ([oracle] extra)")
    alive = _peak(encoder, torch)
    counted = total(pass_lines(encoder, encoder.patches, 1, 2))
    assert alive <= counted <= 1.2 * alive


def _peak(e: ImageEncoder, torch: Any) -> int:
    """Most bytes alive in one pass, weights apart."""
    import weakref

    from torch.utils._python_dispatch import TorchDispatchMode

    class Live(TorchDispatchMode):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.sizes: dict[int, int] = {}
            self.now = self.most = 0

        def __torch_dispatch__(
            self,
            func: Any,
            types: Any,
            args: Any = (),
            kwargs: Any = None,
        ) -> Any:
            made = func(*args, **(kwargs or {}))
            for tensor in made if isinstance(made, (tuple, list)) else [made]:
                storage = tensor.untyped_storage()
                if storage._cdata not in self.sizes:
                    self.sizes[storage._cdata] = storage.nbytes()
                    self.now += storage.nbytes()
                    self.most = max(self.most, self.now)
                    weakref.finalize(storage, self.drop, storage._cdata)
            return made

        def drop(self, key: int) -> None:
            self.now -= self.sizes.pop(key, 0)

    with torch.no_grad(), torch.device("meta"):
        kind = {"dtype": torch.bfloat16}
        d, patches, merged = e.hidden, e.patches, e.hidden * e.merge
        weights = [
            torch.empty(shape, **kind)
            for shape in (
                (d, e.pixels),
                (3 * d, d),
                (d, d),
                ((1 + e.gated) * e.inner, d),
                (d, e.inner),
                (merged, merged),
                (e.out, merged),
            )
        ]
        entry, qkv, out, up, down, first, second = weights
        mode = Live()
        mode.sizes |= {w.untyped_storage()._cdata: 0 for w in weights}

        def attention(x: Any) -> Any:
            x = torch.nn.functional.linear(x, qkv).view(patches, 3, d)
            turned = [x.new_empty(patches, d) for _ in range(2)]
            x = torch.empty_like(turned.pop())
            turned.clear()
            return torch.nn.functional.linear(x, out)

        def mlp(x: Any) -> Any:
            x = torch.nn.functional.linear(x, up)
            x = x.new_empty(patches, e.inner)
            return torch.nn.functional.linear(x, down)

        with mode:
            pixels = torch.empty(patches, e.pixels, **kind)
            x = torch.nn.functional.linear(pixels, entry)
            for _ in range(e.layers):
                x = x + attention(torch.empty_like(x))
                x = x + mlp(torch.empty_like(x))
            inner = torch.nn.functional.linear(
                torch.empty_like(x).view(patches // e.merge, merged), first
            )
            torch.nn.functional.linear(torch.empty_like(inner), second)
        return mode.most
