"""The prepared data of a run, ready before any model is loaded: items, splits, hierarchy, forget target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from duolearn_cli.concepts.coverage import Coverage, coverage
from duolearn_cli.concepts.hierarchy import Hierarchy, Target
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.concepts.token_classes import PRESERVE, UNLEARN, classify, level_weights
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.document_sides import DocumentSides, kin_concepts
from duolearn_cli.data.documents import Document
from duolearn_cli.data.duplicates import Duplicate
from duolearn_cli.data.earlier import EARLIER, UNKNOWN, Forgotten
from duolearn_cli.data.items import Item, Loaded
from duolearn_cli.data.request import Request
from duolearn_cli.data.shuffling import kind_of_heldout
from duolearn_cli.data.sides import Doubt, Sides
from duolearn_cli.data.splits import Splits
from duolearn_cli.data.tally import Tally, request_warning, tally
from duolearn_cli.data.validation_part import part_of
from duolearn_cli.errors import DataError
from duolearn_cli.model.encoding import Encoded, Encoder
from duolearn_cli.model.text_checks import Texts, fix_of, read_texts


@dataclass(frozen=True, slots=True)
class EarlierRequest:
    """A request of the chain before this one: its target and the facts that it forgot."""

    target: Target
    facts: frozenset[str]

    @property
    def name(self) -> str:
        return self.target.name


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
        unknown: with ``learn.known``, held-out phrasings of forget facts that the given target does not know.
        known: by side, how many ``facts`` there were to train on, and how many of them the target has ``known``.
        texts: the items as the model's tokenizer reads them; None until it has.
        documents: the running texts that models learn beside items, with what is to be forgotten in them.
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
    unknown: tuple[Item, ...] = ()
    known: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    # In a chain of requests: the study of the first one, and the names and facts of all requests before this one.
    first: Study | None = None
    requests: tuple[EarlierRequest, ...] = ()
    texts: Texts | None = None
    documents: DocumentSides = DocumentSides()

    @property
    def filled(self) -> tuple[Doubt, ...]:
        """The items whose label does not decide their side, labelled or not."""
        return self.sides.doubts

    @property
    def forget_facts(self) -> frozenset[str]:
        """The facts to forget."""
        return self.sides.forget

    def training_items(self, which: str) -> tuple[Item, ...]:
        """Return the training items of the ``target`` (forget and retain) or the ``gold`` model (retain only)."""
        retain = self.splits.retain_train
        return self.taught((*self.splits.forget_train, *retain) if which == "target" else retain)

    def taught(self, items: Sequence[Item]) -> tuple[Item, ...]:
        """Return the items that are trained on as questions. What continues a document is learned with the document."""
        return tuple(item for item in items if not (item.continues and self.documents.learned))

    def training_documents(self, which: str) -> tuple[Document, ...]:
        """Return the documents that the ``target`` or the ``gold`` model learns."""
        return self.documents.gold if which == "gold" else tuple(one.document for one in self.documents.learned)

    @cached_property
    def kin(self) -> frozenset[str]:
        """The kept concepts nearest to what is forgotten; see `kin_concepts`."""
        return kin_concepts(self.target, self.hierarchy, self.request.forget)

    def evaluated(self, part: str | None = None) -> Splits:
        """Return the splits restricted to the facts of `part`, by default of ``evaluation.part``."""
        split = self.config.split
        return part_of(self.splits, part or self.config.evaluation.part, split.validation_fraction, split.seed)

    def items_of(self, request: EarlierRequest) -> tuple[Item, ...]:
        """Return the trained items that an earlier request forgot."""
        return tuple(item for item in self.earlier if item.fact_id in request.facts)

    def scored(self) -> dict[str, tuple[Item, ...]]:
        """Return the items to score, by split: those of `evaluated`; `earlier` and `unknown` ones whatever the part."""
        # The items of earlier requests enter no other figure (docs/metrics.md), so every part may have all of them.
        beside = {EARLIER: self.earlier, UNKNOWN: self.unknown}
        return self.evaluated().by_name() | {name: items for name, items in beside.items() if items}

    def item_levels(self) -> dict[str, int]:
        """Return the level (1 to 4) of each item's most focused concept, by item id, for items with a concept."""
        items = (item for split in self.splits.by_name().values() for item in split if item.concepts)
        return {item.id: max(self.hierarchy[concept].level for concept in item.concepts) for item in items}

    def label(
        self, text: Encoded, is_forget: bool, target: Target | None = None
    ) -> tuple[list[int], list[str | None], list[float]]:
        """Return the class, the concept and the level weight of every token of a text.

        Classes are those of an earlier `target`, by default of this request's.
        """
        mentions = self.matcher.find(text.text)
        target = target or self.target
        kinds, concepts = classify(text.text, text.offsets, text.is_answer, is_forget, mentions, target)
        if target.scope.is_limited and not is_forget:
            # The target's concepts are kept where others have them.
            kinds = [PRESERVE if kind == UNLEARN else kind for kind in kinds]
        weights = level_weights(concepts, self.hierarchy, self.level_weights)
        kin_weight = self.config.unlearn.kin_weight
        if kin_weight != 1:
            weights = [
                weight * kin_weight if kind == PRESERVE and concept in self.kin else weight
                for weight, kind, concept in zip(weights, kinds, concepts, strict=True)
            ]
        return kinds, concepts, weights

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
        before |= {UNKNOWN: len(self.unknown), "known_facts": dict(self.known)} if self.known else {}
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
            **({"documents": self.documents.counts()} if self.documents.learned else {}),
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
        if self.loaded.policy == "error":
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
