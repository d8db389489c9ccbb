"""What a method needs of the model, checked before anything is learned."""

from __future__ import annotations

import torch

from duolearn_cli.config.components import component
from duolearn_cli.errors import ConfigError, ModelError
from duolearn_cli.methods.base import Method, attention_of, geometry_of, sparsity_of
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.per_example import GradientRows
from duolearn_cli.training.per_example_probe import check_adapter, check_singles
from duolearn_cli.training.private.separable import check_separable


def check_method(lab: Laboratory) -> None:
    """Refuse a method that needs what the model does not offer, before anything is learned.

    Raises:
        ModelError, ConfigError: with the model and the fix.
    """
    config, request = lab.study.config, lab.study.request
    method = component(config.method, config.plugins)
    wanted, chosen = attention_of(method), sparsity_of(method)
    masks = config.unlearn.packing or wanted.is_biased
    texts = [lab.encoder.encode(item) for item in (*request.forget, *request.retain)] if masks else []
    longest = max((len(text.ids) for text in texts), default=0)
    lab.model.check_attention(masks=masks, kept_layers=wanted.kept_layers, longest=longest)
    with lab.model.activations(wanted.depth):
        pass
    lab.model.check_adapted(wanted.depth)
    everything = Coordinates(lab.model.named_adapter, experts=lab.model.experts)
    _check_gradients(lab, method)
    if config.privacy.epsilon is not None:
        check_separable(method)
    if chosen.unit == "none":
        return
    budget, needed = int(chosen.fraction * lab.model.num_base_parameters), 1
    if chosen.unit != "coordinate":
        needed = int(torch.bincount(everything.units(chosen.unit)).min())
    if budget < needed:
        # A little more, so that the number that is shown is enough after rounding.
        share = 1.01 * needed / lab.model.num_base_parameters
        raise ConfigError(
            f"method.sparsity.fraction={chosen.fraction}: that is {budget} of the model's parameters, and the smallest "
            f"{chosen.unit} has {needed}; allowed: {share:.3g} or more, or a finer method.sparsity.unit."
        )


def _check_gradients(lab: Laboratory, method: Method) -> None:
    """Refuse an adapter that the forward leaves out, or that has no per-example gradients although they are needed."""
    model, config = lab.model, lab.study.config
    check_adapter(model)
    is_private = config.privacy.epsilon is not None or config.privacy.learn_epsilon is not None
    if sparsity_of(method).unit == "none" and not geometry_of(method).needs_fisher and not is_private:
        return
    check_singles(model)
    if config.runtime.sharding != "none" and GradientRows(model.network, model.adapter).by_hand:
        raise ModelError(
            f"runtime.sharding={config.runtime.sharding}: gradients of single examples cannot be followed through the "
            f"fused experts of {model.architecture} there; allowed: none. Mend: runtime.sharding=none."
        )
