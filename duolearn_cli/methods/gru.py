"""Gradient rectified unlearning (Wang et al. 2025, "GRU: Mitigating the Trade-off between Unlearning and Retention").

The forget gradient u becomes ``u - min(0, <u, r>) / |r|^2 r``, r being a running mean of retain gradients: the nearest
gradient along which retaining does not get worse. The optimiser is given that alone: retain answers are not trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from duolearn_cli.config.settings import setting
from duolearn_cli.config.unlearning import GeometryConfig
from duolearn_cli.methods.base import LEARNING_RATES, Method, Objective, Search
from duolearn_cli.methods.graddiff import GradDiff
from duolearn_cli.methods.npo import NPO
from duolearn_cli.methods.tokens import Tokens
from duolearn_cli.methods.wga import WGA


def rectified() -> GeometryConfig:
    """The forget gradient, held against the running mean of retain gradients alone."""
    return GeometryConfig(space="gradient", follow="forget", basis_size=0, gradient_decay=0.2)


@dataclass
class GRU(Method):
    """Another method's forget loss, along gradients that do not raise the retain loss, to first order."""

    forget: str = setting("ascent", "the forget loss: plain ascent, WGA's or NPO's", choices=["ascent", "wga", "npo"])
    beta: float | None = setting(None, "beta of WGA or NPO; empty: their default", minimum=1e-6)
    retain: str = setting(
        "nll", "the retain loss that must not rise: nll of retain answers, or kl from the target", choices=["nll", "kl"]
    )
    geometry: GeometryConfig = setting(rectified)

    labels: ClassVar[str] = "answer"
    search: ClassVar[Search] = {
        "method.forget": ["ascent", "wga", "npo"],
        "method.geometry.gradient_decay": [0.2, 0.8],
        "unlearn.learning_rate": LEARNING_RATES,
    }

    def objective(self, tokens: Tokens) -> Objective:
        # The retain loss only gives a direction here, so its weight makes no difference to a step.
        if self.forget == "ascent":
            return GradDiff(self.retain).objective(tokens)
        chosen = WGA(self.retain) if self.forget == "wga" else NPO(self.retain)
        if self.beta is not None:
            chosen.beta = self.beta
        return chosen.objective(tokens)
