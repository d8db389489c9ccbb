"""Two quadratic losses with a known answer, moved by the real update.

    python scripts/studies/geometry_toy.py FILE.svg

Forgetting wants the point u: ``|x - u|^2 / 2``. Keeping cares about one direction k only: ``(k'x)^2 / 2``. Both
begin at 0, where nothing is lost. The nearest point to u that costs nothing is its projection on the line ``k'x = 0``;
the sum of both losses has its minimum off that line, where keeping has lost ``(k'u)^2 / 8`` for a k of length one.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from duolearn_cli.config.unlearning import GeometryConfig, UnlearnConfig
from duolearn_cli.model.distributed import Processes
from duolearn_cli.training.coordinates import Coordinates
from duolearn_cli.training.gradients import Gradients
from duolearn_cli.training.update import Update

U = torch.tensor([2.0, 2.0], dtype=torch.float64)
K = torch.tensor([0.6, 0.8], dtype=torch.float64)
STEPS, RATE = 400, 0.02
SETTINGS = {
    "gradient difference": GeometryConfig(space="none"),
    "constrained gradient": GeometryConfig(space="gradient", basis_size=0),
    "constrained step, nearest": GeometryConfig(space="step", basis_size=0),
    "constrained step, optimiser's metric": GeometryConfig(space="step", metric="optimizer", basis_size=0),
}


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Points [steps + 1, 2] and both losses along them [steps + 1]."""

    points: Tensor

    @property
    def forget(self) -> Tensor:
        return (self.points - U).square().sum(1) / 2

    @property
    def preserve(self) -> Tensor:
        return (self.points @ K).square() / 2


def trajectory(geometry: GeometryConfig, optimizer: str) -> Trajectory:
    """Follow both gradients from 0 under a constraint."""
    x = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    coordinates = Coordinates([("x.lora_A", x)])
    settings = UnlearnConfig(optimizer=optimizer, max_grad_norm=1e9)
    update = Update(coordinates, settings, geometry, Processes(Accelerator(cpu=True)))
    points = [x.detach().clone()]
    for step in range(1, STEPS + 1):
        at = points[-1]
        rate = RATE * min(1.0, 2 * (STEPS + 1 - step) / STEPS)
        update.apply(step, rate, Gradients(at - U, (K @ at) * K))
        points.append(x.detach().clone())
    return Trajectory(torch.stack(points))


def trajectories(optimizer: str = "AdamW") -> dict[str, Trajectory]:
    """By name; `best without damage` is the known answer, a single point."""
    found = {name: trajectory(geometry, optimizer) for name, geometry in SETTINGS.items()}
    return found | {"best without damage": Trajectory((U - (K @ U) * K)[None])}


def draw(found: dict[str, Trajectory], path: Path) -> None:
    """The paths over the preserve loss, and that loss along them."""
    from matplotlib.figure import Figure

    from duolearn_cli.report import figures

    colors = dict(zip(SETTINGS, (figures.FORGET, figures.BASE, "#CC79A7", figures.RETAIN), strict=True))
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    plane, curves = figure.subplots(1, 2)
    span = torch.linspace(-1, 2.5, 50, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(span, span, indexing="xy"), -1)
    plane.contour(span, span, (grid @ K).square() / 2, levels=8, colors=figures.BASE, alpha=0.4, linewidths=0.8)
    for name, color in colors.items():
        plane.plot(*found[name].points.T, color=color, label=name)
        curves.semilogy(found[name].preserve[1:], color=color)
    plane.plot(*U, "x", color=figures.FORGET)
    plane.annotate("forgotten", U.tolist(), xytext=(-4, -12), textcoords="offset points", ha="right")
    plane.plot(*found["best without damage"].points[0], "o", color=figures.GOLD, label="best without damage")
    plane.set_aspect("equal")
    plane.set_title("paths, over contours of the preserve loss", fontsize=10)
    curves.set_xlabel("step")
    curves.set_title("preserve loss", fontsize=10)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A page of its own has no theme to take its colours from.
    svg = figures.to_svg(figure).replace("<svg ", '<svg style="background: white; color: black" ', 1)
    path.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: geometry_toy.py FILE.svg")
    result = trajectories()
    for label, each in result.items():
        print(f"{label}: forget loss {each.forget[-1]:.4f}, preserve loss {each.preserve[-1]:.2e}")
    draw(result, Path(sys.argv[1]))
