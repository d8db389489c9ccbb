"""The check, before anything is learned, that the model offers what the method needs."""

from __future__ import annotations

import torch

from duolearn_cli.config.components import component
from duolearn_cli.errors import ConfigError, ModelError
from duolearn_cli.methods.base import Method
from duolearn_cli.pipeline.laboratory import Laboratory
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.per_example import GradientRows
from duolearn_cli.training.per_example_probe import check_adapter, check_per_example
from duolearn_cli.training.private.separable import check_separable


def check_method(lab: Laboratory) -> None:
    """Check masks, inner activations, gradients, separable losses and the sparsity budget of the run's method.

    Raises:
        ModelError: the model lacks something that the method needs.
        ConfigError: the method does not allow private steps, or its sparsity budget is too small.
    """
    config, request = lab.study.config, lab.study.request
    method = component(config.method, config.plugins)
    wanted, chosen = method.attention, method.sparsity
    masks = config.unlearn.packing or wanted.is_biased
    texts = [lab.encoder.encode(item) for item in (*request.forget, *request.retain)] if masks else []
    longest = max((len(text.ids) for text in texts), default=0)
    lab.model.check_attention(masks=masks, kept_layers=wanted.kept_layers, longest=longest)
    # Opening the context is the check that the method's inner layer can be read.
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
        # 1 % more, so that the share in the message still suffices after rounding.
        share = 1.01 * needed / lab.model.num_base_parameters
        raise ConfigError(
            f"method.sparsity.fraction={chosen.fraction}: that is {budget} of the model's parameters, and the smallest "
            f"{chosen.unit} has {needed}; allowed: {share:.3g} or more, or a finer method.sparsity.unit."
        )


def _check_gradients(lab: Laboratory, method: Method) -> None:
    """Raise ModelError if the forward leaves the adapter out, or if needed per-example gradients cannot be computed."""
    model, config = lab.model, lab.study.config
    # PEFT adds an adapter to modules that an architecture may never call. Training would then change nothing, without
    # an error.
    check_adapter(model)
    is_private = config.privacy.epsilon is not None or config.privacy.learn_epsilon is not None
    if method.sparsity.unit == "none" and not method.geometry.needs_fisher and not is_private:
        return
    check_per_example(model)
    if config.runtime.sharding != "none" and GradientRows(model.network, model.adapter).rerun:
        raise ModelError(
            f"runtime.sharding={config.runtime.sharding}: per-example gradients cannot be computed in the fused "
            f"experts of {model.architecture} if they are sharded; allowed: none. Fix: runtime.sharding=none."
        )
