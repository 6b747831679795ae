"""Label propagation the obvious way: the whole table of similarities, with a mask added to it."""

import torch


def radius_mask(h, w, radius):
    """0 for nodes nearer than the radius and -1e10 for the others, (h w) x (h w)."""
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    places = torch.stack([y.flatten(), x.flatten()], dim=1).float()
    distance = torch.linalg.vector_norm(places[:, None] - places[None], dim=-1)
    return torch.where(distance < radius, 0.0, -1e10)


def affinity(query, frames, k, radius, unmasked=(0,), mask=None, chunk=100):
    """Similarities (h w k) and indices (h w k) of the joint top k, as the authors compute them.

    A chunk of queries at a time meets the whole context; the mask may be made once for a video.
    """
    _, h, w = query.shape
    mask = radius_mask(h, w, radius) if mask is None else mask
    queries = query.flatten(1)
    keys = torch.stack(list(frames)).flatten(2)
    similarities, indices = [], []
    for start in range(0, h * w, chunk):
        table = torch.einsum("mdk,dq->mkq", keys, queries[:, start : start + chunk])
        for i in range(len(frames)):
            if i not in unmasked:
                table[i] += mask[:, start : start + chunk]
        best = table.flatten(0, 1).topk(k, dim=0)
        similarities.append(best.values)
        indices.append(best.indices)
    similarity = torch.cat(similarities, dim=1).T.reshape(h, w, k)
    return similarity, torch.cat(indices, dim=1).T.reshape(h, w, k)


def propagate(similarity, index, labels, temperature):
    """Labels (h w c) of the nodes, from those of the context (m h w c)."""
    weights = torch.softmax(similarity / temperature, dim=-1)
    return (labels.flatten(0, 2)[index] * weights.unsqueeze(-1)).sum(dim=2)
