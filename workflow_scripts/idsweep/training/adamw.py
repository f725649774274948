"""AdamW without bias correction, as BERT was trained and as older code of the field has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class UncorrectedAdamW(torch.optim.Optimizer):
    """AdamW whose moments are not corrected for beginning at zero: its first steps are longer than Adam's.

    For each parameter p with gradient g: m ← β1 m + (1 - β1) g; v ← β2 v + (1 - β2) g²; p ← p - lr m / (√v + ε); at last
    p ← p - lr λ p, with the new p. That is the AdamW that transformers had, with `correct_bias=False` (Devlin et al. 2019
    train so; Loshchilov & Hutter 2019 for the decay).

    params: as of any optimizer of torch, groups with a `weight_decay` (λ) of their own included.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters that have a gradient; returns what `closure` gives, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            rate, (beta1, beta2) = group["lr"], group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                moments = self.state[parameter]
                if not moments:
                    moments["first"], moments["second"] = (torch.zeros_like(parameter) for _ in range(2))
                moments["first"].mul_(beta1).add_(parameter.grad, alpha=1 - beta1)
                moments["second"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
                parameter.addcdiv_(moments["first"], moments["second"].sqrt().add_(group["eps"]), value=-rate)
                if group["weight_decay"]:
                    parameter.add_(parameter, alpha=-rate * group["weight_decay"])
        return loss
