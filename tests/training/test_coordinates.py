"""The flat coordinates of an adapter: their order and blocks, and that nothing else changes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from duolearn_cli.model.adapter_names import Place
from duolearn_cli.training.coordinates import Coordinates, flatten
from tests.mixtures import mixture

NAMES = [
    "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight",
    "base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.weight",
    "base_model.model.model.layers.0.mlp.up_proj.lora_A.default.weight",
    "base_model.model.model.layers.0.mlp.up_proj.lora_B.default.weight",
    "base_model.model.model.layers.12.self_attn.q_proj.lora_A.default.weight",
    "base_model.model.model.layers.12.self_attn.q_proj.lora_B.default.weight",
]
SHAPES = [(2, 3), (4, 2), (2, 3), (5, 2), (2, 3), (4, 2)]
TOTAL = sum(a * b for a, b in SHAPES)


def named():
    values = torch.arange(float(TOTAL)).split([a * b for a, b in SHAPES])
    parts = zip(NAMES, values, SHAPES, strict=True)
    return [(name, nn.Parameter(part.clone().view(shape))) for name, part, shape in parts]


def test_places():
    place = Place.of(NAMES[0])
    assert (place.layer, place.module, place.matrix) == (0, "q_proj", "lora_A")
    assert place.owner == "base_model.model.model.layers.0.self_attn.q_proj"
    last = Place.of(NAMES[-1])
    assert (last.layer, last.matrix) == (12, "lora_B") and Place.of("score.lora_A.default.weight").layer == -1


def test_blocks_are_contiguous_whatever_the_order_of_the_parameters():
    """Embedding and output layer are both outside the layers, and experts share the name of a module."""
    names = [
        "m.embed.lora_A",
        "m.layers.0.experts.0.gate.lora_A",
        "m.layers.0.experts.0.up.lora_A",
        "m.layers.0.experts.1.gate.lora_A",
        "m.lm_head.lora_A",
    ]
    pairs = [(name, nn.Parameter(torch.full((i + 1, 1), float(i)))) for i, name in enumerate(names)]
    coordinates = Coordinates(pairs)
    assert coordinates.blocks("layer") == {-1: 1 + 5, 0: 2 + 3 + 4}
    parts = coordinates.values.detach().split(list(coordinates.blocks("layer").values()))
    assert set(parts[0].tolist()) == {0, 4} and set(parts[1].tolist()) == {1, 2, 3}
    assert len(coordinates.blocks("module")) == 5
    with torch.no_grad():
        coordinates.values.add_(10)
    coordinates.write()
    assert all((parameter == i + 10).all() for i, (_, parameter) in enumerate(pairs))


@given(st.sets(st.integers(0, TOTAL - 1), min_size=1))
def test_only_what_was_chosen_is_written(chosen):
    pairs = named()
    index = torch.tensor(sorted(chosen))
    coordinates = Coordinates(pairs, index)
    assert torch.equal(coordinates.values, index.float())
    with torch.no_grad():
        coordinates.values.add_(1000)
    coordinates.write()
    after = flatten([parameter for _, parameter in pairs])
    assert torch.equal((after >= 1000).nonzero().squeeze(1), index)
    assert sum(coordinates.sizes()) == len(index) == sum(coordinates.blocks("module").values())
    assert torch.equal(coordinates.take(torch.arange(TOTAL)), index)


def test_gradients_are_taken_away_and_missing_ones_are_zero():
    pairs = named()
    coordinates = Coordinates(pairs)
    (pairs[0][1].sum() * 2).backward()
    found = coordinates.gradient()
    assert found[:6].tolist() == [2] * 6 and found[6:].abs().max() == 0
    assert all(parameter.grad is None for _, parameter in pairs)
    assert coordinates.gradient().abs().max() == 0


def test_blocks():
    coordinates = Coordinates(named())
    assert coordinates.blocks("global") == {"all": TOTAL}
    assert coordinates.blocks("layer") == {0: 6 + 8 + 6 + 10, 12: 14}
    assert list(coordinates.blocks("module").values()) == [14, 16, 14]


@pytest.mark.parametrize(("unit", "count"), [("rank", 6), ("module", 3), ("layer", 2)])
def test_units(unit, count):
    units = Coordinates(named()).units(unit)
    assert sorted(set(units.tolist())) == list(range(count))
    if unit == "rank":
        # Row 1 of A goes with column 1 of B.
        assert (units[:6] == torch.tensor([0, 0, 0, 1, 1, 1])).all() and units[6:14].tolist() == [0, 1] * 4


def test_a_rank_of_an_expert_is_a_row_of_a_with_its_column_of_b():
    """PEFT orders the rows of A by expert, but the columns of B by rank; ranks may differ by module."""
    model = mixture("mixtral")
    coordinates = Coordinates(model.named_adapter, experts=model.experts)
    parts = coordinates.units("rank").split([parameter.numel() for parameter in coordinates.parameters])
    units: dict[int, set] = {}
    for place, parameter, part in zip(coordinates.places, coordinates.parameters, parts, strict=True):
        for at, number in zip(torch.cartesian_prod(*map(torch.arange, parameter.shape)), part.tolist(), strict=True):
            line = int(at[0 if place.matrix == "lora_A" else 1])
            experts, by_a = model.experts.get(place.owner, 1), place.matrix == "lora_A"
            rank = parameter.shape[0 if by_a else 1] // experts
            expert, own = divmod(line, rank) if by_a else reversed(divmod(line, experts))
            units.setdefault(number, set()).add((place.owner, int(expert), int(own)))
    # Each number stands for one rank of one expert of one module, and each of those has one number.
    assert all(len(found) == 1 for found in units.values())
    assert len(set().union(*units.values())) == len(units)


def test_parameters_that_had_a_gradient_are_remembered():
    pairs = named()
    coordinates = Coordinates(pairs)
    pairs[1][1].sum().backward()
    coordinates.gradient()
    assert [id(p) for p in coordinates.reached] == [id(pairs[1][1])]
    (0 * pairs[0][1].sum()).backward()
    coordinates.gradient()
    assert {id(p) for p in coordinates.reached} == {id(pairs[0][1]), id(pairs[1][1])}
