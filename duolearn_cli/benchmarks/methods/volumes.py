"""How much of the square (or cube) of the aims each method of a benchmark dominates, and how far behind the best."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from duolearn_cli.benchmarks.methods.record import Result, Results
from duolearn_cli.benchmarks.methods.status import DIVERGED, FINISHED
from duolearn_cli.errors import present
from duolearn_cli.evaluation.measures.central import FORGETTING, KEEPING
from duolearn_cli.evaluation.measures.measure import Ratio, Share
from duolearn_cli.evaluation.metrics.closed_forms import PSEUDO_FACTS
from duolearn_cli.evaluation.metrics.comparisons import behind_best
from duolearn_cli.evaluation.metrics.hypervolume import hypervolume
from duolearn_cli.evaluation.metrics.intervals import CONFIDENCE, RESAMPLES
from duolearn_cli.evaluation.metrics.seeds import FEWEST, Noise, Spread, auc_errors, ratio_errors
from duolearn_cli.report.answers import UNSEEN, Answers, by_item, facts_of, paired_facts, sums_by_fact, wins


@dataclass(frozen=True, eq=False)
class Draws:
    """The facts and the seeds that other benchmarks would have had: the same for all methods.

    Attributes:
        forget, retain, others: how often each fact was drawn. Shape: [draws, facts].
        pseudo: noise in the number of pseudo-facts (see `PseudoFacts`) that the target has wrong and right, of forget
            and of retain facts, and in that of all of them, of members and of others. Shape: [draws, 2 or 1].
    """

    forget: np.ndarray
    retain: np.ndarray
    others: np.ndarray
    pseudo: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    rng: np.random.Generator

    @classmethod
    def of(cls, forget: int, retain: int, others: int, seed: int = 0) -> Draws:
        # The seed is fixed: the figures of a benchmark must come out alike whenever they are made from its answers.
        rng = np.random.default_rng(seed)

        def counts(facts: int) -> np.ndarray:
            return rng.multinomial(facts, [1 / max(1, facts)] * facts, RESAMPLES).astype(float)

        def pseudo(kinds: int) -> np.ndarray:
            return np.sqrt(PSEUDO_FACTS / kinds) * rng.standard_normal((RESAMPLES, kinds))

        return cls(counts(forget), counts(retain), counts(others), (pseudo(2), pseudo(2), pseudo(1), pseudo(1)), rng)


@dataclass(frozen=True, eq=False)
class PseudoFacts:
    """Noise in the draws of a method, as `PSEUDO_FACTS` facts that have every outcome equally often give it.

    Where all answers are right, or wrong, draws of facts agree, though the next fact may differ. The noise is normal,
    with the variance of the pseudo-facts in `fieller`, and moves no centre. The target's answers to them are the same
    for all methods, those of a method its own: the difference of two has the variance that `paired_difference` adds.

    Attributes:
        forget, retain: how many more or fewer than expected. Shape: [draws, target wrong or right, method the same].
        members, others: the same of facts that lose or win all their comparisons. Shape: [draws, 1, lost or won].
    """

    forget: np.ndarray
    retain: np.ndarray
    members: np.ndarray
    others: np.ndarray

    @classmethod
    def of(cls, draws: Draws) -> PseudoFacts:
        def halves(whole: np.ndarray) -> np.ndarray:
            own = np.sqrt(PSEUDO_FACTS / (4 * whole.shape[1])) * draws.rng.standard_normal(whole.shape)
            return np.stack([whole / 2 - own, whole / 2 + own], axis=-1)

        return cls(*map(halves, draws.pseudo))


@dataclass(frozen=True, eq=False)
class Volume:
    """A method's volume, what it would have been with other seeds and facts, and what it could be at most.

    Attributes:
        draws, most: shape [draws]. `most` takes a membership attack whose direction turns in a draw for one that sees
            nothing: the MIA score's fold at 0.5 only makes scores smaller, so that its draws lie below the score.
    """

    value: float
    draws: np.ndarray
    most: np.ndarray

    def interval(self) -> tuple[float, float]:
        tail = (1 - CONFIDENCE) / 2
        return float(np.quantile(self.draws, tail)), float(np.quantile(self.most, 1 - tail))


def volumes(methods: Results) -> dict[str, dict[str, Any]]:
    """By method the hypervolume of its runs in forgetting and keeping, and how far it is below the best one's.

    ``hypervolume_mia`` has the MIA score as a third aim: what is forgotten so hard that it stands out has little of
    that.

    Each aim is averaged over seeds first and cut to 0 to 1 then: a method that ends at chance, give or take, is not
    charged for the half of its seeds that stay below. A method's volume is what the points of its numbers of passes
    dominate; of seeds of which a run diverged, nothing. Only seeds that all methods are done with count. Intervals are
    over seeds and facts, the same draws for all methods; ``behind``, the best method's less this one's, has one that
    holds for all pairs of methods together (see `behind_best`). Methods of which nothing finished are left out.
    """
    known = {name: runs for name, runs in methods.items() if _seeds(runs, (FINISHED,))}
    settled = [_seeds(runs, (FINISHED, DIVERGED)) for runs in known.values()]
    seeds = sorted(set.intersection(*settled), key=int) if settled else []
    if not seeds:
        return {}
    chosen = {name: _of_seeds(runs, seeds) for name, runs in known.items()}
    every = [one.answers for own in chosen.values() for runs in own for one in runs if one.answers]
    forget, retain = (facts_of(every, side) for side in ("forget", "retain"))
    others = paired_facts(every, UNSEEN)
    draws = Draws.of(len(forget), len(retain), len(others))
    # In an order of names: what is said of methods is not to hang on the order that they were given in.
    pseudo = {name: PseudoFacts.of(draws) for name in sorted(chosen)}
    noise = {count: Noise.draw(draws.rng, RESAMPLES, count) for count in range(1, len(seeds) + 1)}
    found: dict[str, dict[str, Any]] = {name: {"seeds": len(seeds)} for name in chosen}
    by_aims = {"": {}, "_mia": {}}
    for name, by_passes in chosen.items():
        facts = (forget, retain, others)
        points = [_points(runs, draws, pseudo[name], noise[max(1, len(runs))], facts) for runs in by_passes]
        # Seeds of which a run diverged dominate nothing, so they take their share of the volume away.
        share = len(by_passes[0]) / len(seeds)
        for suffix, aims in (("", 2), ("_mia", 3)):
            by_aims[suffix][name] = _volume(points, aims, share)
    for suffix, own in by_aims.items():
        for name, entries in _described(own, len(seeds)).items():
            found[name] |= {f"{key}{suffix}": value for key, value in entries.items()}
    return found


def _described(volumes: Mapping[str, Volume], seeds: int) -> dict[str, dict[str, Any]]:
    """By method ``hypervolume``, ``behind`` and ``best``, as benchmark.json has them."""
    names = list(volumes)
    known = [name for name in names if np.isfinite(volumes[name].value)]
    if not known:
        return {name: {"hypervolume": None, "behind": None, "best": None} for name in names}
    values = np.array([volumes[name].value for name in known])
    behind = behind_best(values, np.stack([volumes[name].draws for name in known], axis=1))
    best = known[behind.best]
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        low, high = volumes[name].interval() if seeds >= FEWEST and name in known else (None, None)
        own = {"value": volumes[name].value, "low": low, "high": high, "higher_is_better": True}
        found[name] = {"hypervolume": own if name in known else None, "behind": None, "best": best}
    for name, value, reach in zip(known, behind.value, behind.reach, strict=True):
        if name != best:
            ends = {"low": float(value - reach), "high": min(1.0, float(value + reach))}
            bounds = ends if seeds >= FEWEST else {"low": None, "high": None}
            found[name]["behind"] = {"value": float(value), **bounds, "higher_is_better": None}
    return found


def _seeds(runs: Mapping[int, Sequence[Result]], statuses: Collection[str]) -> set[str]:
    """The seeds whose runs at every number of passes have one of these statuses."""
    by_passes = [{one.seed for one in own if one.status in statuses} for own in runs.values()]
    return set.intersection(*by_passes) if by_passes else set()


def _of_seeds(runs: Mapping[int, Sequence[Result]], seeds: Sequence[str]) -> list[list[Result]]:
    """By number of passes the runs of the seeds that finished at every one of them."""
    whole = [seed for seed in seeds if seed in _seeds(runs, (FINISHED,))]
    return [[one for seed in whole for one in own if one.seed == seed] for own in runs.values()]


def _points(
    runs: Sequence[Result],
    draws: Draws,
    pseudo: PseudoFacts,
    noise: Noise,
    facts: tuple[Sequence[str], Sequence[str], Sequence[str]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The aims' means over seeds, their draws, and the draws at most. Shapes: [aims], [draws, aims], [draws, aims]."""
    answers = [one.answers for one in runs if one.answers]
    if len(answers) < len(runs) or not runs:  # nothing is known, or all diverged and dominate nothing
        nothing = np.full((RESAMPLES, 3), np.nan if runs else 0.0)
        return nothing[0], nothing, nothing
    aims: list[tuple[float, np.ndarray, np.ndarray]] = []
    for aim, own, counts, beside in (
        (FORGETTING, facts[0], draws.forget, pseudo.forget),
        (KEEPING, facts[1], draws.retain, pseudo.retain),
    ):
        score = present(by_item(aim), f"the part of {aim.key} that one item has")
        sums = sums_by_fact(answers, score, own)
        drawn_sums = np.einsum("rf,sfk->rsk", counts, sums, optimize=True) + _beside(answers, score, own, beside)
        values, drawn = _ratio(sums.sum(1)), _ratio(drawn_sums)
        moved = drawn.mean(1) + noise.of(values, Spread.of(ratio_errors(sums)).apart)
        aims.append((float(values.mean()), moved, moved))
    aims.append(_unseen(answers, draws, pseudo, noise, facts))
    value, drawn, most = (np.stack(column, axis=-1) for column in zip(*aims, strict=True))
    return value, drawn, most


def _beside(answers: Sequence[Answers], score: Share | Ratio, facts: Sequence[str], counts: np.ndarray) -> np.ndarray:
    """What pseudo-facts add to a score's two sums, with as many questions as others. Shape: [draws, runs, 2].

    What a question would score without knowledge, gold's answers as well, counts with its mean.
    """
    counted = Ratio(score.side, lambda before, after, chance: (np.ones_like(chance), chance), score.mark)
    asked = sums_by_fact(answers, counted, facts)
    total = asked.sum(1)
    size = total[:, 0] / np.maximum(1, (asked[..., 0] > 0).sum(1))
    chance = np.divide(total[:, 1], total[:, 0], out=np.zeros(len(answers)), where=total[:, 0] > 0)
    before, after = np.meshgrid([0.0, 1.0], [0.0, 1.0], indexing="ij")
    outcomes = score.parts(before, after, chance[:, None, None])
    shape = (len(answers), 2, 2)
    sums = [np.einsum("rba,sba->rs", counts, np.broadcast_to(part, shape)) * size for part in outcomes]
    return np.stack(sums, axis=-1)


def _ratio(sums: np.ndarray) -> np.ndarray:
    return np.divide(sums[..., 0], sums[..., 1], out=np.full(sums.shape[:-1], np.nan), where=sums[..., 1] != 0)


def _unseen(
    answers: Sequence[Answers], draws: Draws, pseudo: PseudoFacts, noise: Noise, facts: Sequence[Sequence[str]]
) -> tuple[float, np.ndarray, np.ndarray]:
    """The mean over seeds of the MIA score of the loss attack, its draws, and those without the fold."""
    found, asked, members = wins(answers, facts[2])
    places = [facts[0].index(fact) for fact in members]
    total = asked.sum((1, 2))
    if not members or not total.all():
        nothing = np.full(RESAMPLES, np.nan)
        return np.nan, nothing, nothing
    areas = found.sum((1, 2)) / total
    left, right = draws.forget[:, places], draws.others
    above, below = (np.einsum("rm,smn,rn->rs", left, part, right, optimize=True) for part in (found, asked))
    drawn = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    for counts, kind in ((pseudo.members, members), (pseudo.others, facts[2])):
        drawn = drawn + counts[:, 0] @ (np.array([[0.0], [1.0]]) - areas) / len(kind)
    drawn = np.clip(drawn, 0.0, 1.0)
    scores = 1 - 2 * np.abs(areas - 0.5)
    # The slope of 1 - 2 |AUC - 0.5| is 2 either way, so that the variance of an AUC counts four times.
    moved = noise.of(scores, 4 * Spread.of(auc_errors(found, asked)).apart)
    side = np.where(areas >= 0.5, 1.0, -1.0)
    folded = (1 - 2 * np.abs(drawn - 0.5)).mean(1) + moved
    unfolded = (1 - 2 * np.maximum(0.0, side * (drawn - 0.5))).mean(1) + moved
    return float(scores.mean()), folded, unfolded


def _volume(points: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], aims: int, share: float) -> Volume:
    """What the points, one a number of passes, dominate of the first `aims`; nothing with runs that diverged."""

    def of(parts: Iterator[np.ndarray]) -> np.ndarray:
        stacked = np.stack([part[..., :aims] for part in parts], axis=-2)
        volume = share * hypervolume(stacked)
        return np.where(np.isfinite(stacked).all((-1, -2)), volume, np.nan)

    value, drawn, most = (of(point[k] for point in points) for k in range(3))
    fine = np.isfinite(drawn)
    # A draw without any of the target's knowledge has no value: it counts as none.
    return Volume(float(value), np.where(fine, drawn, 0.0), np.where(fine, most, 0.0))
