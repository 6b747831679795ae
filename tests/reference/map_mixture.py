"""The log posterior of a mixture of trajectories and its M-step, by obvious loops in float64."""

import math

import torch

from reference.mixture import responsibilities as posterior


def log_posterior(trajectories, weights, means, covariances, *, alpha, mode, pseudo, noise):
    """sum_i log p(tau_i) + log Dirichlet + log inverse gamma, without their constants."""
    length = trajectories.shape[1]
    # Noise takes the same from the logarithm of a component at every state.
    worn = torch.tensor(
        [
            float(weight) * math.exp(-length * noise / 2 * float(torch.linalg.inv(c).trace()))
            for weight, c in zip(weights, covariances, strict=True)
        ],
        dtype=torch.float64,
    )
    _, total = posterior(trajectories, worn, means, covariances)
    for weight, covariance in zip(weights, covariances, strict=True):
        total += (alpha - 1) * math.log(float(weight))
        trace = float(torch.linalg.inv(covariance).trace())
        log_det = math.log(float(torch.linalg.det(covariance)))
        total -= pseudo * length / 2 * (log_det + mode * trace)
    return total


def m_step(trajectories, shares, *, alpha, mode, pseudo, noise):
    """MAP weights, means and full covariances for responsibilities (n k)."""
    n, t, d = trajectories.shape
    k = shares.shape[1]
    weights, means, covariances = [], [], []
    for z in range(k):
        weights.append(float(shares[:, z].sum() + alpha - 1) / (n + k * (alpha - 1)))
        mean = torch.zeros(d, dtype=torch.float64)
        for i in range(n):
            for s in range(t):
                mean += shares[i, z] * trajectories[i, s]
        mean = mean / (t * shares[:, z].sum())
        known = float(shares[:, z].sum()) * t * noise
        scatter = (pseudo * t * mode + known) * torch.eye(d, dtype=torch.float64)
        for i in range(n):
            for s in range(t):
                centered = trajectories[i, s] - mean
                scatter += shares[i, z] * torch.outer(centered, centered)
        means.append(mean)
        covariances.append(scatter / (t * shares[:, z].sum() + pseudo * t))
    return torch.tensor(weights, dtype=torch.float64), torch.stack(means), torch.stack(covariances)
