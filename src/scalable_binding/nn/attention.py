"""Multi-head self-attention and cross-attention."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from scalable_binding.nn.initialization import glorot_uniform_
from scalable_binding.nn.precision import without_autocast

Heads = Float[Tensor, "b heads n d"]


class SelfAttention(nn.Module):
    """Multi-head self-attention: ``softmax(q k' / sqrt(d_head)) v``, one product for q, k and v.

    The weight ``qkv`` stacks three matrices, and says so to optimizers (``fused_slices``).

    Args:
        width: of the tokens; a multiple of ``num_heads``.
        num_heads: each of width / num_heads channels.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        assert width % num_heads == 0
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.fused_slices = {"qkv.weight": 3}
        self.out = nn.Linear(width, width)
        _initialize(self.qkv, width, width, num_heads)
        _initialize(self.out, width, width, num_heads, merges=True)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """What each token gathers from all of them."""
        heads = rearrange(
            self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.num_heads
        )
        return self.out(_merge(gather(*heads)))


class CrossAttention(nn.Module):
    """Multi-head cross-attention: ``softmax(q k' / sqrt(d_head)) v`` over a context.

    Queries, keys and values are as wide as the narrower of the two, and the result as the query.
    The weight ``kv`` stacks two matrices, and says so to optimizers (``fused_slices``).

    Args:
        width: of the queries.
        context_width: of the context; the narrower of both is a multiple of ``num_heads``.
        num_heads: attention heads.

    Source: Thesis Alg. 3; widths as in the authors' code.
    """

    def __init__(self, width: int, context_width: int, num_heads: int) -> None:
        super().__init__()
        inner = min(width, context_width)
        assert inner % num_heads == 0
        self.num_heads = num_heads
        self.q = nn.Linear(width, inner)
        self.kv = nn.Linear(context_width, 2 * inner)
        self.fused_slices = {"kv.weight": 2}
        self.out = nn.Linear(inner, width)
        _initialize(self.q, width, inner, num_heads)
        _initialize(self.kv, context_width, inner, num_heads)
        _initialize(self.out, width, inner, num_heads, merges=True)

    def forward(
        self, x: Float[Tensor, "b m d"], context: Float[Tensor, "b n c"], attend: bool = False
    ) -> tuple[Float[Tensor, "b m d"], Float[Tensor, "b m n"] | None]:
        """What each query gathers from the context; and, to ``attend``, from where.

        The attention is float32, averaged over heads, and without gradient; its rows sum to 1.
        """
        q = rearrange(self.q(x), "b m (h d) -> b h m d", h=self.num_heads)
        k, v = rearrange(self.kv(context), "b n (two h d) -> two b h n d", two=2, h=self.num_heads)
        gathered = self.out(_merge(gather(q, k, v)))
        return gathered, _mean_attention(q, k) if attend else None


def gather(
    q: Float[Tensor, "b heads m d"],
    k: Float[Tensor, "b heads n d"],
    v: Float[Tensor, "b heads n d"],
) -> Float[Tensor, "b heads m d"]:
    """Scaled dot-product attention by PyTorch's fused kernels, in the queries' precision.

    On a CPU bfloat16 is attended in float32: the kernels' way back takes two to four times as long
    in bfloat16, and their way forward no less.
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        found: Tensor = _InFloat32.apply(q, k, v)
        return found
    return functional.scaled_dot_product_attention(q, k, v)


class _InFloat32(torch.autograd.Function):
    """Attention of bfloat16 on a CPU, computed in float32 and kept for the way back in bfloat16."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        found, normalizer = attend(q.float(), k.float(), v.float())
        found = found.to(q.dtype)
        ctx.save_for_backward(q, k, v, found, normalizer)
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        *kept, normalizer = ctx.saved_tensors
        attend_back = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        wide = (tensor.float() for tensor in (grad, *kept))
        return tuple(g.to(grad.dtype) for g in attend_back(*wide, normalizer, 0.0, False))


@torch.no_grad()
def _mean_attention(
    q: Float[Tensor, "b heads m d"], k: Float[Tensor, "b heads n d"]
) -> Float[Tensor, "b m n"]:
    """The attention averaged over heads, one head in memory at a time."""
    scale = q.shape[-1] ** -0.5
    total = q.new_zeros((), dtype=torch.float32)
    with without_autocast(q.device.type):
        for query, key in zip(q.float().unbind(1), k.float().unbind(1), strict=True):
            total = total + (query @ key.mT * scale).softmax(dim=-1)
    return total / q.shape[1]


def _merge(heads: Heads) -> Float[Tensor, "b n width"]:
    return rearrange(heads, "b h n d -> b n (h d)")


def _initialize(
    layer: nn.Linear, width: int, inner: int, num_heads: int, *, merges: bool = False
) -> None:
    """Glorot's limits as a framework computes them whose kernels are (width, heads, d_head).

    What comes before the last two dimensions counts as the field of a convolution, so that the
    limits are below those of a flat matrix.
    """
    head = inner // num_heads
    fans = (num_heads * head, num_heads * width) if merges else (width * num_heads, width * head)
    glorot_uniform_(layer.weight, *fans)
    nn.init.zeros_(layer.bias)
