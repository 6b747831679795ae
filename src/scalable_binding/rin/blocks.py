"""RIN blocks: read (cross-attention), compute (self-attention), write (cross-attention)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from scalable_binding.nn.attention import CrossAttention, SelfAttention
from scalable_binding.nn.mlp import DropPath, FeedForward, layer_norm

Latents = Float[Tensor, "b m d"]
Interface = Float[Tensor, "b n e"]


class Layer(nn.Module):
    """Transformer layer on the latents: pre-norm self-attention and feed-forward network.

    Source: Thesis Alg. 3, with the second feed-forward network inside the loop over layers.
    """

    def __init__(
        self, width: int, num_heads: int, expansion: int, dropout: float, drop_path: float
    ) -> None:
        super().__init__()
        self.norm = layer_norm(width)
        self.attention = SelfAttention(width, num_heads)
        self.ffn = FeedForward(width, expansion, dropout)
        self.drop_path = DropPath(drop_path)

    def forward(self, z: Latents) -> Latents:
        """The latents after one round."""
        z = z + self.drop_path(self.attention(self.norm(z)))
        return z + self.drop_path(self.ffn(z))


class Block(nn.Module):
    """RIN block: read from interface X into latents Z, compute on Z, write back to X.

    | Read: Z = Z + MHA(LN(Z), X), Z = Z + FFN(Z)
    | Compute, ``num_layers`` times: Z = Z + MHA(LN(Z), LN(Z)), Z = Z + FFN(Z)
    | Write: X = X + MHA(LN(X), Z), X = X + FFN(X)

    Only queries are normalized in reading and writing.

    Source: Thesis 2.2.2 and Alg. 3.
    """

    def __init__(
        self,
        latent_width: int,
        interface_width: int,
        *,
        num_layers: int,
        num_heads: int,
        cross_heads: int,
        latent_expansion: int,
        interface_expansion: int,
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.read_norm = layer_norm(latent_width)
        self.read = CrossAttention(latent_width, interface_width, cross_heads)
        self.read_ffn = FeedForward(latent_width, latent_expansion)
        self.layers = nn.ModuleList(
            Layer(latent_width, num_heads, latent_expansion, dropout, drop_path)
            for _ in range(num_layers)
        )
        self.write_norm = layer_norm(interface_width)
        self.write = CrossAttention(interface_width, latent_width, cross_heads)
        self.write_ffn = FeedForward(interface_width, interface_expansion)

    def forward(
        self, z: Latents, x: Interface, write: bool = True, attend: bool = False
    ) -> tuple[Latents, Interface, Float[Tensor, "b m n"] | None]:
        """Latents and interface after the round, and read attention if asked to ``attend``.

        Without ``write`` the interface stays as it is, for those who want only the latents.
        """
        gathered, attention = self.read(self.read_norm(z), x, attend)
        z = z + gathered
        z = z + self.read_ffn(z)
        for layer in self.layers:
            z = layer(z)
        if write:
            written, _ = self.write(self.write_norm(x), z)
            x = x + written
            x = x + self.write_ffn(x)
        return z, x, attention
