"""Clusters and mixtures of trajectories by obvious loops over states, in float64."""

import math

import torch


def squared_distances(trajectories, centers):
    """sum_t |s_t - c_k|^2 of every trajectory and center."""
    result = torch.zeros(len(trajectories), len(centers), dtype=torch.float64)
    for i, trajectory in enumerate(trajectories):
        for k, center in enumerate(centers):
            for state in trajectory:
                result[i, k] += ((state - center) ** 2).sum()
    return result


def log_normal(state, mean, covariance):
    """log N(s; mu, Sigma) with a full covariance matrix."""
    centered = state - mean
    d = len(state)
    quadratic = float(centered @ torch.linalg.inv(covariance) @ centered)
    return -0.5 * (
        quadratic + math.log(float(torch.linalg.det(covariance))) + d * math.log(2 * math.pi)
    )


def responsibilities(trajectories, weights, means, covariances):
    """Eq. 4.16: q_ik, a product over the states of trajectory i; and sum_i log p(tau_i)."""
    result = torch.zeros(len(trajectories), len(weights), dtype=torch.float64)
    total = 0.0
    for i, trajectory in enumerate(trajectories):
        joint = []
        for weight, mean, covariance in zip(weights, means, covariances, strict=True):
            value = math.log(float(weight))
            for state in trajectory:
                value += log_normal(state, mean, covariance)
            joint.append(value)
        top = max(joint)
        evidence = top + math.log(sum(math.exp(value - top) for value in joint))
        total += evidence
        for k, value in enumerate(joint):
            result[i, k] = math.exp(value - evidence)
    return result, total


def estimate(trajectories, shares):
    """Eq. 4.17 (with s_t^i), 4.18 and 4.19 for responsibilities (n k)."""
    n, t, d = trajectories.shape
    weights, means, covariances = [], [], []
    for k in range(shares.shape[1]):
        mean = torch.zeros(d, dtype=torch.float64)
        for i in range(n):
            for s in range(t):
                mean += shares[i, k] / t * trajectories[i, s]
        mean = mean / shares[:, k].sum()
        covariance = torch.zeros(d, d, dtype=torch.float64)
        for i in range(n):
            for s in range(t):
                centered = trajectories[i, s] - mean
                covariance += shares[i, k] / t * torch.outer(centered, centered)
        weights.append(float(shares[:, k].sum()) / n)
        means.append(mean)
        covariances.append(covariance / shares[:, k].sum())
    return torch.tensor(weights), torch.stack(means), torch.stack(covariances)


def smooth(rewards, window):
    """The mean of up to ``window`` rewards of one episode, the last one included."""
    return [
        sum(rewards[max(0, t - window + 1) : t + 1]) / len(rewards[max(0, t - window + 1) : t + 1])
        for t in range(len(rewards))
    ]
