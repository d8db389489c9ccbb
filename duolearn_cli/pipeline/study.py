"""What a run is about, known before any model is loaded: items, splits, hierarchy, forget target."""

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
from duolearn_cli.data.sides import Doubt, Sides, choose_sides, mentions_by
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
    """The cheap half of a run, all of it checked.

    `items` are all that enter a side, with concepts, filled subjects and shuffled copies; `sides` says why each is
    where it is; `tally` counts every row of the data.
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
    # Sentences about the data that a user must see: what was read otherwise than it stands, labels that nearly match.
    notes: tuple[str, ...] = ()
    forgotten: Forgotten = Forgotten()
    # Of what earlier requests forgot, as much as this request may forget: what is scored.
    earlier: tuple[Item, ...] = ()
    # What the model's tokenizer makes of the items; None before it has read them.
    texts: Texts | None = None

    @property
    def filled(self) -> tuple[Doubt, ...]:
        """Items whose label does not settle their side, whether they enter one or not."""
        return self.sides.doubts

    @property
    def forget_facts(self) -> frozenset[str]:
        """The facts to forget."""
        return self.sides.forget

    def training_items(self, which: str) -> tuple[Item, ...]:
        """What the ``target`` (forget and retain) or the ``gold`` model (retain only) is trained on."""
        retain = self.splits.retain_train
        return (*self.splits.forget_train, *retain) if which == "target" else retain

    def evaluated(self, part: str | None = None) -> Splits:
        """The splits cut down to the facts that are scored, those of `part` or of ``evaluation.part``."""
        split = self.config.split
        return part_of(self.splits, part or self.config.evaluation.part, split.validation_fraction, split.seed)

    def scored(self) -> dict[str, tuple[Item, ...]]:
        """What a model is asked, by split: see `evaluated`; and what earlier requests forgot, whatever the part."""
        return self.evaluated().by_name() | ({EARLIER: self.earlier} if self.earlier else {})

    def item_levels(self) -> dict[str, int]:
        """The level of each item's most focused concept, by item id; items without a concept are left out."""
        items = (item for split in self.splits.by_name().values() for item in split if item.concepts)
        return {item.id: max(self.hierarchy[concept].level for concept in item.concepts) for item in items}

    def label(self, text: Encoded, is_forget: bool) -> tuple[list[int], list[str | None], list[float]]:
        """Class, concept and level weight of every token of a text."""
        mentions = self.matcher.find(text.text)
        kinds, concepts = classify(text.text, text.offsets, text.is_answer, is_forget, mentions, self.target)
        return kinds, concepts, level_weights(concepts, self.hierarchy, self.level_weights)

    def coverage(self) -> Coverage:
        """What the forget target covers and what lies on its boundary, in the texts that unlearning is given."""
        texts = [
            [self.matcher.concepts([item.question, *item.options]) for item in side]
            for side in (self.request.forget, self.request.retain)
        ]
        return coverage(self.target, self.hierarchy, *texts)

    def warnings(self) -> list[str]:
        """What must be known of the rows before the numbers."""
        given = len(self.splits.forget_train) + len(self.splits.retain_train)
        return [*self.tally.warnings(), *request_warning(self.request.doubts, given)]

    def summary(self) -> dict[str, Any]:
        """Item counts by split, rejected rows by reason, duplicates found, what became of doubtful labels."""
        sizes = {name: len(items) for name, items in self.splits.by_name().items()}
        before: dict[str, Any] = {"forgotten": self.forgotten.as_dict()} if self.forgotten.counts else {}
        before |= {EARLIER: len(self.earlier)} if self.earlier else {}
        found = {
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
        return sizes | before | found

    def readable(self, encoder: Encoder, context: int | None) -> Study:
        """The same study without the items that cannot become tokens; `context` is the longest text of the model.

        Raises:
            ConfigError, DataError, ModelError: too many items would be cut, a text is too long for the model, or
                nothing is left to forget, to keep or to compare with.
        """
        items = [item for items in self.splits.by_name().values() for item in items]
        texts = read_texts(encoder, [*items, *self.earlier])
        texts.check(context)
        if not texts.rejected:
            return replace(self, texts=texts)
        if getattr(self.config.dataset, "on_bad_row", "skip") == "error":
            row = texts.rejected[0]
            mend = fix_of([row], "Mend the row, or set dataset.on_bad_row=skip to leave such rows out.")
            raise DataError(f"{row.source or 'data'}, row {row.row} (id {row.id}): {row.detail} [{row.reason}]. {mend}")
        return self._without(texts)

    def _without(self, texts: Texts) -> Study:
        bad = {row.id for row in texts.rejected}

        def kept(items: Sequence[Item]) -> tuple[Item, ...]:
            return tuple(item for item in items if item.id not in bad)

        splits = Splits(**{name: kept(items) for name, items in self.splits.by_name().items()})
        request = replace(self.request, forget=kept(self.request.forget), retain=kept(self.request.retain))
        for name in ("forget_train", "forget_unseen", "retain_train", "retain_unseen"):
            if getattr(self.splits, name) and not getattr(splits, name):
                own = {item.id for item in getattr(self.splits, name)}
                rows = [row for row in texts.rejected if row.id in own]
                raise DataError(
                    f"{name}: none of the {len(own)} items can be read; the first that is left out, {rows[0].id} "
                    f"[{rows[0].reason}]: {rows[0].detail}. "
                    f"{fix_of(rows, 'Mend the rows, or choose another model or data set.')}"
                )
        if not request.forget or not request.retain:
            raise DataError("no item that can be read is left to forget or to keep; choose another model or data set.")
        loaded = replace(self.loaded, rejected=(*self.loaded.rejected, *texts.rejected))
        sides = self.sides.cut(kept(self.sides.items), "rejected")
        return replace(
            self,
            items=kept(self.items),
            splits=splits,
            earlier=kept(self.earlier),
            request=request,
            loaded=loaded,
            sides=sides,
            tally=tally(self.loaded, sides),
            texts=texts,
        )


def load_hierarchy(config: RunConfig) -> Hierarchy:
    """Build the configured source and let it load. Raises DataError, ConfigError: see the source."""
    return component(config.hierarchy, config.plugins).load()


def prepare(config: RunConfig) -> Study:
    """Read and check everything that costs no model.

    Raises:
        DataError, ConfigError: the data, the hierarchy or the forget target are not usable, with the mend.
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
        target,
        hierarchy,
        mentions_by(matcher.find),
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
    """Sides of which nothing is kept that is to be forgotten, or was before; what was; notes."""
    sides = _sides(gathered.loaded.items, target, hierarchy, matcher, config)
    check_target(gathered.loaded.items, sides, target, config.forget.about)
    kept, notes = gathered.without_target(sides.items, target)
    sides = sides.cut(kept, "second_about")
    similarity = config.split.similarity if config.split.near_duplicates == "remove" else None
    kept, forgotten = without_forgotten(kept, config.forgotten or (), sides.forget, hierarchy, similarity)
    return sides.cut(kept, "forgotten_before"), forgotten, notes


def _earlier(items: Sequence[Item], config: RunConfig) -> tuple[Item, ...]:
    """Of what earlier requests forgot the facts that a run with this seed and these limits had to forget."""
    split = config.split
    return trained_items(items, split.seed, split.unseen_fraction, split.max_forget) if items else ()


def _splits(items: list[Item], forget: frozenset[str], config: RunConfig) -> tuple[Splits, tuple[Duplicate, ...]]:
    """Cut the items, and deal with near duplicates across the cuts as configured."""
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
    """Choose sides. An item that names no concept of this hierarchy gets those of its question and right answer."""
    declared = [item.id for item in items if not hierarchy.concepts.keys().isdisjoint(item.concepts)]
    found = [_with_concepts(item, hierarchy, matcher) for item in items]
    return choose_sides(found, target, hierarchy, matcher.find, config.labels, config.forget.about, declared)


def _with_concepts(item: Item, hierarchy: Hierarchy, matcher: Matcher) -> Item:
    known = tuple(concept for concept in item.concepts if concept in hierarchy.concepts)
    return replace(item, concepts=known or matcher.concepts([item.question, item.answer_text]))
