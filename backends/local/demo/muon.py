"""Muon for matrices and convolutions, AdamW for the rest, in one small optimiser.

Muon (Keller Jordan, 2024, https://kellerjordan.github.io/posts/muon/) orthogonalises the momentum
of every matrix by five Newton-Schulz steps. Matrices of one shape are handled in one batched
product, which is what makes it cheap for small models.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class Muon:
    """``step(progress)`` updates all parameters and clears their gradients.

    Parameters of two or more dimensions are seen as (first, all others) matrices and go to Muon
    unless their name is in ``adam_names``; their rate is ``rate``. The others get AdamW with
    ``adam_rate``. Both rates stay flat for the first 30 % of the run, then fall linearly to zero.
    """

    def __init__(
        self,
        named: Iterable[tuple[str, nn.Parameter]],
        rate: float,
        adam_rate: float,
        adam_names: tuple[str, ...] = (),
        flat: float = 0.3,
    ) -> None:
        self._rate, self._adam_rate, self._flat = rate, adam_rate, flat
        groups: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
        others: list[nn.Parameter] = []
        for name, parameter in named:
            if not parameter.requires_grad:
                continue
            if parameter.ndim >= 2 and not name.startswith(adam_names or ("\0",)):
                groups[(parameter.shape[0], parameter[0].numel())].append(parameter)
            else:
                others.append(parameter)
        self._groups = list(groups.values())
        self._momenta = [
            torch.zeros(len(group), *shape)
            for shape, group in zip(groups, self._groups, strict=True)
        ]
        self._adam = (
            torch.optim.AdamW(others, adam_rate, (0.9, 0.98), weight_decay=0.0) if others else None
        )

    @torch.no_grad()
    def step(self, progress: float) -> None:
        """One update at ``progress`` (0 to 1) of the run."""
        fade = min(1.0, max(0.0, (1.0 - progress) / (1.0 - self._flat)))
        for group, momentum in zip(self._groups, self._momenta, strict=True):
            gradients = torch.stack([_gradient(p).reshape(momentum.shape[1:]) for p in group])
            momentum.lerp_(gradients, 0.05)
            rows, columns = momentum.shape[1:]
            update = orthogonal(gradients.lerp_(momentum, 0.95)) * max(1.0, rows / columns) ** 0.5
            for parameter, delta in zip(group, update, strict=True):
                parameter.sub_(delta.reshape(parameter.shape), alpha=self._rate * fade)
                parameter.grad = None
        if self._adam is not None:
            for entry in self._adam.param_groups:
                entry["lr"] = self._adam_rate * fade
            self._adam.step()
            self._adam.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """Everything that :meth:`restore` needs to go on."""
        return {"momenta": self._momenta, "adam": self._adam.state_dict() if self._adam else None}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up what :meth:`state` gave, for the same parameters in the same order."""
        for mine, saved in zip(self._momenta, state["momenta"], strict=True):
            mine.copy_(saved)
        if self._adam is not None:
            self._adam.load_state_dict(state["adam"])


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly (singular values 0.7 to 1.2).

    ``matrices`` is batch x rows x columns; five Newton-Schulz steps in bfloat16.
    """
    flip = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if flip else matrices).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    result: Tensor = (x.mT if flip else x).float()
    return result


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.float()
