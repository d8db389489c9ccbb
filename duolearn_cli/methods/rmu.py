"""RMU, representation misdirection for unlearning (Li et al. 2024, "The WMDP Benchmark", section 4).

``E_forget |h - c u|^2 + alpha E_retain |h - h_target|^2`` over all tokens, h being what a middle layer writes, u a
random unit vector with entries drawn uniformly from [0, 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from duolearn_cli.config.settings import setting
from duolearn_cli.errors import present
from duolearn_cli.methods.base import LEARNING_RATES, Attention, Method, Objective, Search
from duolearn_cli.methods.tokens import Tokens, of_forget, of_retain

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class RMU(Method):
    """Steer a middle layer's activations on forget texts to one random direction; keep the target's on retain texts."""

    # Depth, c and alpha are near the paper's for Zephyr-7B (layer 7 of 32, 6.5, 1200). c depends on the scale of a
    # model's activations, so it is searched (docs/baselines.md).
    depth: float = setting(0.25, "depth of the steered layer, as a share of all layers", minimum=0.01, maximum=1)
    coefficient: float = setting(6.5, "c, the length to which activations of forget texts are steered", minimum=0)
    retain_weight: float = setting(1200.0, "alpha, weight of keeping the target's activations", minimum=0)
    direction_seed: int = setting(0, "seed of the random direction", minimum=0)

    labels: ClassVar[str] = "text"
    search: ClassVar[Search] = {
        "method.coefficient": [6.5, 20.0, 100.0],
        "method.retain_weight": [100.0, 1200.0],
        "unlearn.learning_rate": LEARNING_RATES,
    }

    @property
    def attention(self) -> Attention:
        return Attention(depth=self.depth)

    def objective(self, tokens: Tokens) -> Objective:
        from duolearn_cli.model.losses import squared_distance

        activations = present(tokens.activations, "the layer that RMU steers")
        target_activations = present(tokens.target_activations, "the target's layer that RMU keeps")
        forgets, retains = of_forget(tokens), of_retain(tokens)
        steered, kept = activations[forgets], activations[retains]
        steered = squared_distance(steered, self.coefficient * tokens.send(self.direction(steered.shape[-1])))
        away = squared_distance(kept, tokens.send(target_activations[retains]))
        return Objective(tokens.mean_over(steered, of_forget), self.retain_weight * tokens.mean_over(away, of_retain))

    def direction(self, width: int) -> Tensor:
        """The unit vector u, on the host, since other devices draw other numbers; its seed alone decides it [width]."""
        import torch

        drawn = torch.rand(width, generator=torch.Generator().manual_seed(self.direction_seed))
        return drawn / drawn.norm()
