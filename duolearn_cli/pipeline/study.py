"""The prepared data of a run, ready before any model is loaded: items, splits, hierarchy, forget target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from duolearn_cli.concepts.coverage import Coverage, coverage
from duolearn_cli.concepts.hierarchy import Hierarchy, Target, resolve_target
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.concepts.mention_cache import CachedMatcher
from duolearn_cli.concepts.token_classes import classify, level_weights
from duolearn_cli.config.components import component
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.duplicates import Duplicate, find_duplicates
from duolearn_cli.data.earlier import EARLIER, Forgotten, without_forgotten
from duolearn_cli.data.items import Item, Loaded
from duolearn_cli.data.request import Request, make_request
from duolearn_cli.data.shuffling import kind_of_heldout
from duolearn_cli.data.sides import ConceptView, Doubt, Sides, choose_sides, mentions_by
from duolearn_cli.data.sources import Gathered, gather, with_copies
from duolearn_cli.data.splits import Splits, drop_duplicates, make_splits, trained_items
from duolearn_cli.data.tally import Tally, check_guessed, check_target, request_warning, tally
from duolearn_cli.data.validation_part import part_of
from duolearn_cli.errors import DataError
from duolearn_cli.files import cache_dir
from duolearn_cli.model.encoding import Encoded, Encoder
from duolearn_cli.model.text_checks import Texts, fix_of, read_texts


@dataclass(frozen=True, eq=False)
class Study:
    """The prepared data of a run: everything that needs no model, checked.

    Attributes:
        target: what to forget.
        loaded: the rows as they were read, and those that were rejected.
        items: the items of both sides, with concepts, inferred subjects and shuffled copies.
        request: the items to unlearn with, both sides.
        sides: the side of each item, and why.
        tally: counts of all rows of the data by outcome.
        notes: sentences about the data for the user: what was read differently from how it was written, labels that
            nearly match.
        forgotten: what earlier requests have removed from the model.
        earlier: the facts of earlier requests that are scored, at most as many as one request may forget.
        texts: the items as the model's tokenizer reads them; None until it has.
    """

    config: RunConfig
    hierarchy: Hierarchy
    level_weights: tuple[float, ...]
    target: Target
    matcher: Matcher
    loaded: Loaded
    items: tuple[Item, ...]
    splits: Splits
    request: Request
    duplicates: tuple[Duplicate, ...]
    sides: Sides
    tally: Tally
    notes: tuple[str, ...] = ()
    forgotten: Forgotten = Forgotten()
    earlier: tuple[Item, ...] = ()
    texts: Texts | None = None

    @property
    def filled(self) -> tuple[Doubt, ...]:
        """The items whose label does not decide their side, whether or not they have got one."""
        return self.sides.doubts

    @property
    def forget_facts(self) -> frozenset[str]:
        """The facts to forget."""
        return self.sides.forget

    def training_items(self, which: str) -> tuple[Item, ...]:
        """Return the training items of the ``target`` (forget and retain) or the ``gold`` model (retain only)."""
        retain = self.splits.retain_train
        return (*self.splits.forget_train, *retain) if which == "target" else retain

    def evaluated(self, part: str | None = None) -> Splits:
        """Return the splits restricted to the facts of `part`, by default of ``evaluation.part``."""
        split = self.config.split
        return part_of(self.splits, part or self.config.evaluation.part, split.validation_fraction, split.seed)

    def scored(self) -> dict[str, tuple[Item, ...]]:
        """Return the items to score, by split: those of `evaluated`, and `earlier` ones whatever the part."""
        return self.evaluated().by_name() | ({EARLIER: self.earlier} if self.earlier else {})

    def item_levels(self) -> dict[str, int]:
        """Return the level (1 to 4) of each item's most focused concept, by item id, for items with a concept."""
        items = (item for split in self.splits.by_name().values() for item in split if item.concepts)
        return {item.id: max(self.hierarchy[concept].level for concept in item.concepts) for item in items}

    def label(self, text: Encoded, is_forget: bool) -> tuple[list[int], list[str | None], list[float]]:
        """Return the class, the concept and the level weight of every token of a text."""
        mentions = self.matcher.find(text.text)
        kinds, concepts = classify(text.text, text.offsets, text.is_answer, is_forget, mentions, self.target)
        return kinds, concepts, level_weights(concepts, self.hierarchy, self.level_weights)

    def coverage(self) -> Coverage:
        """Return what the forget target covers, and what lies on its boundary, in the texts of the request."""
        texts = [
            [self.matcher.concepts([item.question, *item.options]) for item in side]
            for side in (self.request.forget, self.request.retain)
        ]
        return coverage(self.target, self.hierarchy, *texts)

    def warnings(self) -> list[str]:
        """Return the warnings about the rows, which a reader needs before the numbers."""
        num_items = len(self.splits.forget_train) + len(self.splits.retain_train)
        return [*self.tally.warnings(), *request_warning(self.request.doubts, num_items)]

    def summary(self) -> dict[str, Any]:
        """Return the part `data` of metrics.json: item counts by split, rejected rows, duplicates, doubtful labels."""
        sizes = {name: len(items) for name, items in self.splits.by_name().items()}
        before: dict[str, Any] = {"forgotten": self.forgotten.as_dict()} if self.forgotten.counts else {}
        before |= {EARLIER: len(self.earlier)} if self.earlier else {}
        about = {
            "rejected": self.loaded.reasons(),
            "notes": list(self.notes),
            "heldout": kind_of_heldout((*self.splits.forget_heldout, *self.splits.retain_heldout)),
            "duplicates": len(self.duplicates),
            "sides": self.tally.as_dict(),
            "subjects": dict(Counter(doubt.outcome for doubt in self.filled)),
            "request": {"forget": len(self.request.forget), "retain": len(self.request.retain)}
            | self.request.summary(),
            **({"texts": self.texts.as_dict()} if self.texts else {}),
        }
        return sizes | before | about

    def readable(self, encoder: Encoder, context: int | None) -> Study:
        """Return the study without the items that the model's tokenizer cannot encode.

        `context` is the maximum number of tokens of the model, None if unknown.

        Raises:
            ConfigError: too many items would be cut.
            ModelError: a text is too long for the model.
            DataError: no item is left to forget, to keep or to compare with.
        """
        items = [item for items in self.splits.by_name().values() for item in items]
        texts = read_texts(encoder, [*items, *self.earlier])
        texts.check(context)
        if not texts.rejected:
            return replace(self, texts=texts)
        if getattr(self.config.dataset, "on_bad_row", "skip") == "error":
            row = texts.rejected[0]
            fix = fix_of([row], "Fix the row, or set dataset.on_bad_row=skip to leave such rows out.")
            raise DataError(f"{row.source or 'data'}, row {row.row} (id {row.id}): {row.detail} [{row.reason}]. {fix}")
        return self._without(texts)

    def _without(self, texts: Texts) -> Study:
        bad = {row.id for row in texts.rejected}

        def readable(items: Sequence[Item]) -> tuple[Item, ...]:
            return tuple(item for item in items if item.id not in bad)

        splits = Splits(**{name: readable(items) for name, items in self.splits.by_name().items()})
        request = replace(self.request, forget=readable(self.request.forget), retain=readable(self.request.retain))
        for name in ("forget_train", "forget_unseen", "retain_train", "retain_unseen"):
            if getattr(self.splits, name) and not getattr(splits, name):
                own = {item.id for item in getattr(self.splits, name)}
                rows = [row for row in texts.rejected if row.id in own]
                raise DataError(
                    f"{name}: none of the {len(own)} items can be read; the first of them, {rows[0].id} "
                    f"[{rows[0].reason}]: {rows[0].detail}. "
                    f"{fix_of(rows, 'Fix the rows, or choose another model or data set.')}"
                )
        if not request.forget or not request.retain:
            raise DataError("no readable item is left to forget or to keep; choose another model or data set.")
        loaded = replace(self.loaded, rejected=(*self.loaded.rejected, *texts.rejected))
        sides = self.sides.cut(readable(self.sides.items), "rejected")
        return replace(
            self,
            items=readable(self.items),
            splits=splits,
            earlier=readable(self.earlier),
            request=request,
            loaded=loaded,
            sides=sides,
            tally=tally(self.loaded, sides),
            texts=texts,
        )


def load_hierarchy(config: RunConfig) -> Hierarchy:
    """Load the configured hierarchy. Raises DataError or ConfigError, see the source."""
    return component(config.hierarchy, config.plugins).load()


def prepare(config: RunConfig) -> Study:
    """Read and check everything that needs no model.

    Raises:
        DataError, ConfigError: the data, the hierarchy or the forget target cannot be used; the message has the fix.
    """
    source = component(config.hierarchy, config.plugins)
    hierarchy = source.load()
    target = resolve_target(config.forget, hierarchy)
    gathered = gather(config, target, hierarchy)
    loaded = gathered.loaded
    texts = [text for item in loaded.items for text in (item.question, *item.options)]
    mention_folder = cache_dir(config.cache_dir) / "mentions"
    matcher = CachedMatcher(hierarchy, texts, mention_folder, may_write=not config.dry_run)
    sides, forgotten, notes = _safe_sides(gathered, target, hierarchy, matcher, config)
    items, copy_notes = with_copies(sides.items, config)
    splits, duplicates = _splits(items, sides.forget, config)
    request = make_request(
        splits.forget_train,
        splits.retain_train,
        ConceptView(target, hierarchy, mentions_by(matcher.find)),
        config.imperfect,
        config.labels,
        sides.sought,
    )
    guessed = {doubt.id for doubt in (*sides.doubts, *request.doubts) if doubt.outcome == "filled"}
    check_guessed(request.forget, guessed, target, config.labels)
    return Study(
        config,
        hierarchy,
        tuple(source.level_weights),
        target,
        matcher,
        loaded,
        tuple(items),
        splits,
        request,
        duplicates,
        sides,
        tally(loaded, sides),
        (*gathered.notes, *notes, *copy_notes),
        forgotten,
        _earlier(forgotten.items, config),
    )


def _safe_sides(
    gathered: Gathered, target: Target, hierarchy: Hierarchy, matcher: Matcher, config: RunConfig
) -> tuple[Sides, Forgotten, list[str]]:
    """Choose sides, and leave out retain items about what this or an earlier request forgets.

    Return the sides, what earlier requests have forgotten, and notes for the user.
    """
    sides = _sides(gathered.loaded.items, target, hierarchy, matcher, config)
    check_target(gathered.loaded.items, sides, target, config.forget.about)
    safe, notes = gathered.without_target(sides.items, target)
    sides = sides.cut(safe, "second_about")
    similarity = config.split.similarity if config.split.near_duplicates == "remove" else None
    safe, forgotten = without_forgotten(safe, config.forgotten or (), sides.forget, hierarchy, similarity)
    return sides.cut(safe, "forgotten_before"), forgotten, notes


def _earlier(items: Sequence[Item], config: RunConfig) -> tuple[Item, ...]:
    """Return the forgotten items that a run with this seed and these limits would have forgotten."""
    split = config.split
    return trained_items(items, split.seed, split.unseen_fraction, split.max_forget) if items else ()


def _splits(items: list[Item], forget: frozenset[str], config: RunConfig) -> tuple[Splits, tuple[Duplicate, ...]]:
    """Split the items, and handle near duplicates across splits as ``split.near_duplicates`` says."""
    splits = make_splits(
        items,
        lambda item: item.fact_id in forget,
        seed=config.split.seed,
        unseen_fraction=config.split.unseen_fraction,
        max_forget=config.split.max_forget,
        max_retain=config.split.max_retain,
    )
    duplicates: tuple[Duplicate, ...] = ()
    if config.split.near_duplicates != "ignore":
        duplicates = tuple(find_duplicates(splits.by_name(), config.split.similarity))
    if config.split.near_duplicates == "remove":
        splits = drop_duplicates(splits, duplicates)
    return splits, duplicates


def _sides(items: Sequence[Item], target: Target, hierarchy: Hierarchy, matcher: Matcher, config: RunConfig) -> Sides:
    """Choose sides. An item that names no concept of this hierarchy gets those in its question and right answer."""
    declared = [item.id for item in items if not hierarchy.concepts.keys().isdisjoint(item.concepts)]
    with_concepts = [_with_concepts(item, hierarchy, matcher) for item in items]
    return choose_sides(with_concepts, target, hierarchy, matcher.find, config.labels, config.forget.about, declared)


def _with_concepts(item: Item, hierarchy: Hierarchy, matcher: Matcher) -> Item:
    known = tuple(concept for concept in item.concepts if concept in hierarchy.concepts)
    return replace(item, concepts=known or matcher.concepts([item.question, item.answer_text]))
