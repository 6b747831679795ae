"""The recurrent interface network head by head and patch by patch, in double precision.

Written from the thesis' Alg. 3 and the list of what it leaves open; reads a network's tensors by
their names and nothing else.
"""

from __future__ import annotations

import itertools
import math

import torch


class SlowRIN:
    """A network's forward pass, from its state dict and its arguments."""

    def __init__(self, state, arguments):
        self.state = {name: tensor.double() for name, tensor in state.items()}
        self.a = arguments

    def __call__(self, x, gamma, classes=None, latents=None, interface=None):
        """Prediction, latents, read attention of each block, and interface, of one example."""
        x = x.double()
        if self.a["normalize_input"]:
            mean = x.mean()
            x = x / (((x - mean) ** 2).mean().sqrt() + 1e-6)
        tokens = self.tokenize(x)
        z = self.begin(gamma, classes, latents)
        if self.a["interface_conditioning"]:
            before = torch.zeros_like(tokens) if interface is None else interface.double()
            tokens = tokens + self.take_up("previous_interface", before)
        maps = []
        for block in range(self.a["num_blocks"]):
            z, tokens, attention = self.block(f"blocks.{block}", z, tokens)
            maps.append(attention)
        return self.read_out(tokens), z, maps, tokens

    def places(self):
        """Corner of each patch, in the order of the tokens."""
        ranges = [range(0, s, p) for s, p in zip(self.a["size"], self.a["patch"], strict=True)]
        return list(itertools.product(*ranges))

    def tokenize(self, x):
        vectors = []
        for corner in self.places():
            window = tuple(slice(c, c + p) for c, p in zip(corner, self.a["patch"], strict=True))
            vectors.append(x[(slice(None), *window)].flatten())
        projected = self.linear("embedding.project", torch.stack(vectors))
        return self.norm("embedding.norm", projected) + self.state["embedding.positions"]

    def read_out(self, tokens):
        values = self.linear("readout", self.norm("readout_norm", tokens))
        picture = torch.zeros(self.a["channels"], *self.a["size"], dtype=torch.float64)
        for corner, value in zip(self.places(), values, strict=True):
            window = tuple(slice(c, c + p) for c, p in zip(corner, self.a["patch"], strict=True))
            patch = value.view(self.a["channels"], *self.a["patch"])
            picture[(slice(None), *window)] = patch
        if self.a["context"]:
            picture[:, : self.a["context"]] = 0
        return picture

    def begin(self, gamma, classes, latents):
        width = self.a["latent_width"]
        half = width // 8
        # Angle i of 2 half is x / 10000^(2 (i // 2) / (2 half)); sines of even i, cosines of odd i.
        rates = [10_000 ** (-(2 * (i // 2)) / (2 * half)) for i in range(2 * half)]
        if self.a["gamma_includes_end"]:
            rates = [10_000 ** (-(i // 2) / max(half - 1, 1)) for i in range(2 * half)]
        sines = [math.sin(1000 * float(gamma) * rate) for rate in rates[0::2]]
        cosines = [math.cos(1000 * float(gamma) * rate) for rate in rates[1::2]]
        waves = torch.tensor(sines + cosines, dtype=torch.float64)
        waves = waves - waves.mean()
        waves = waves / ((waves**2).mean().sqrt() + 1e-6)
        hidden = self.linear("gamma.expand", waves)
        rows = [*self.state["latents"]]
        rows.append(self.linear("gamma.project", hidden * torch.sigmoid(hidden)))
        if self.a["num_classes"]:
            row = self.state["label.project.bias"]
            if classes is not None and classes >= 0:
                row = row + self.state["label.project.weight"][:, classes]
            rows.append(row)
        z = torch.stack(rows)
        return z + self.take_up(
            "previous", torch.zeros_like(z) if latents is None else latents.double()
        )

    def take_up(self, name, before):
        return self.norm(f"{name}.norm", before + self.ffn(f"{name}.ffn", before))

    def block(self, name, z, x):
        heads = self.a["cross_heads"]
        query = self.norm(f"{name}.read_norm", z)
        gathered, attention = self.cross(f"{name}.read", query, x, heads)
        z = z + gathered
        z = z + self.ffn(f"{name}.read_ffn", z)
        for layer in range(self.a["num_layers"]):
            place = f"{name}.layers.{layer}"
            z = z + self.among(f"{place}.attention", self.norm(f"{place}.norm", z))
            z = z + self.ffn(f"{place}.ffn", z)
        query = self.norm(f"{name}.write_norm", x)
        written, _ = self.cross(f"{name}.write", query, z, heads)
        x = x + written
        return z, x + self.ffn(f"{name}.write_ffn", x), attention

    def among(self, name, x):
        q, k, v = self.linear(f"{name}.qkv", x).chunk(3, dim=-1)
        return self.attend(name, q, k, v, self.a["num_heads"])[0]

    def cross(self, name, x, context, heads):
        k, v = self.linear(f"{name}.kv", context).chunk(2, dim=-1)
        return self.attend(name, self.linear(f"{name}.q", x), k, v, heads)

    def attend(self, name, q, k, v, heads):
        width = q.shape[-1] // heads
        mixed, maps = torch.zeros_like(q), 0
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            for i in range(len(q)):
                scores = torch.stack([q[i, part] @ key / math.sqrt(width) for key in k[:, part]])
                weights = (scores - scores.max()).exp()
                weights = weights / weights.sum()
                mixed[i, part] = weights @ v[:, part]
                row = torch.zeros(len(q), len(k), dtype=torch.float64)
                row[i] = weights / heads
                maps = maps + row
        return self.linear(f"{name}.out", mixed), maps

    def ffn(self, name, x):
        hidden = self.linear(f"{name}.expand", self.norm(f"{name}.norm", x))
        hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
        return self.linear(f"{name}.contract", hidden)

    def norm(self, name, x):
        centered = x - x.mean(dim=-1, keepdim=True)
        scaled = centered / ((centered**2).mean(dim=-1, keepdim=True) + 1e-6).sqrt()
        return scaled * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]

    def linear(self, name, x):
        return x @ self.state[f"{name}.weight"].mT + self.state[f"{name}.bias"]
