"""The inception score: are samples clearly of a class, and of all classes together?"""

from __future__ import annotations

import torch
import torch.distributed as dist
from jaxtyping import Float, Float64
from torch import Tensor

from scalable_binding.errors import UserError


class InceptionScore:
    """exp of the mean KL divergence from the marginal p(y) to the classes p(y|x) of the samples.

        log IS = mean_x sum_y p(y|x) log p(y|x) - sum_y p(y) log p(y)

    Between 1 and the number of classes. Only sums are kept.

    Source: Salimans et al., 2016, without splits.
    """

    def __init__(self, num_classes: int) -> None:
        self.count = 0
        self.total: Float64[Tensor, " c"] = torch.zeros(num_classes, dtype=torch.float64)
        self.negentropy: Float64[Tensor, ""] = torch.zeros((), dtype=torch.float64)

    def update(self, logits: Float[Tensor, "b c"]) -> None:
        """Take in the classifier's logits of more samples."""
        log_shares = logits.detach().cpu().double().log_softmax(dim=-1)
        shares = log_shares.exp()
        self.count += len(shares)
        self.total += shares.sum(dim=0)
        self.negentropy += torch.special.entr(shares).sum().neg()

    def all_reduce(self) -> None:
        """Make every process of the run hold the sums of all of them together."""
        if dist.is_initialized() and dist.get_world_size() > 1:
            count = torch.tensor([self.count], dtype=torch.int64)
            for tensor in (count, self.total, self.negentropy):
                dist.all_reduce(tensor)
            self.count = int(count)

    def compute(self) -> float:
        """The score.

        Raises:
            UserError: there was no sample.
        """
        if self.count == 0:
            raise UserError("inception score", expected="at least one sample", got="none")
        marginal = self.total / self.count
        return float((self.negentropy / self.count + torch.special.entr(marginal).sum()).exp())
