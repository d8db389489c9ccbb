"""From a configuration to a `Study`: read the data, choose sides, split; all of it without a model."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

from duolearn_cli.concepts.hierarchy import Hierarchy, Target, resolve_target
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.concepts.mention_cache import CachedMatcher
from duolearn_cli.config.components import component
from duolearn_cli.config.given_target import target_is_given
from duolearn_cli.config.schema import RunConfig
from duolearn_cli.data.document_sides import DocumentSides, FactSides, document_sides
from duolearn_cli.data.duplicates import Duplicate, find_duplicates
from duolearn_cli.data.earlier import Forgotten, covers, near_facts, touched_facts, without_forgotten
from duolearn_cli.data.items import Item, Loaded
from duolearn_cli.data.request import Request, make_request
from duolearn_cli.data.sides import ConceptView, Sides, choose_sides, mentions_by
from duolearn_cli.data.sources import Gathered, gather, with_copies
from duolearn_cli.data.splits import Splits, drop_duplicates, make_splits, resplit, trained_items
from duolearn_cli.data.tally import check_guessed, check_target, tally
from duolearn_cli.errors import ConfigError, DataError
from duolearn_cli.files import cache_dir
from duolearn_cli.pipeline.request_patients import found_by_key
from duolearn_cli.pipeline.study import EarlierRequest, Study


def prepare(config: RunConfig) -> Study:
    """Read and check everything that costs no model.

    Raises:
        DataError, ConfigError: the data, the hierarchy or the forget target are not usable, with the fix.
    """
    return _prepare_next(config) if config.requests else _prepare_one(config)


def _prepare_next(config: RunConfig) -> Study:
    """The study of a request after others.

    The splits of the first study say what the original target was trained on, so they are reused. Facts of the new
    target are forgotten, facts of earlier requests are on neither side, the rest is kept. A new split would retain
    facts that the model never learned.
    """
    first = _prepare_one(_of_first_request(config))
    target = resolve_target(config.forget, first.hierarchy)
    sides = _sides_again(first, target, config)
    resolved = [resolve_target(spec, first.hierarchy) for spec in config.requests]
    earlier_targets = [found_by_key(one, first.loaded, config) for one in resolved]
    # A fact of both is forgotten once more, by this request.
    forgot = [EarlierRequest(one, _sides_again(first, one, config).forget - sides.forget) for one in earlier_targets]
    named = frozenset[str]().union(*(one.facts for one in forgot))
    gone, covered = _gone(first.items, named | touched_facts(first.items, earlier_targets), sides.forget, config)
    sides = sides.cut([item for item in sides.items if item.fact_id not in gone], "forgotten_before")
    splits, duplicates = _split_again(first.splits, sides, target, config)
    trained = {item.id for item in (*first.splits.forget_train, *first.splits.retain_train)}
    counts = {one.name: sum(item.fact_id in one.facts for item in first.items) for one in forgot}
    return replace(
        first,
        config=config,
        target=target,
        items=tuple(sides.items),
        splits=splits,
        request=_request(splits, sides, target, first.hierarchy, first.matcher, config),
        duplicates=duplicates,
        sides=sides,
        tally=tally(first.loaded, sides),
        forgotten=Forgotten(counts, 0, (), covered),
        earlier=tuple(item for item in first.items if item.id in trained and item.fact_id in named),
        documents=_documents(
            first.loaded,
            _facts(first.loaded, splits, sides.forget, gone),
            target,
            first.matcher,
            config,
            earlier_targets,
        ),
        first=first,
        requests=tuple(forgot),
    )


def _sides_again(first: Study, target: Target, config: RunConfig) -> Sides:
    """Choose sides for another target among the items of the first request's study."""
    hierarchy = first.hierarchy
    declared = [i.id for i in first.loaded.items if not hierarchy.concepts.keys().isdisjoint(i.concepts)]
    find, about = first.matcher.find, config.forget.about
    return choose_sides(first.items, target, hierarchy, find, config.labels, about, declared)


def _gone(
    items: Sequence[Item], facts: frozenset[str], forget: frozenset[str], config: RunConfig
) -> tuple[frozenset[str], tuple[Item, ...]]:
    """Return the facts on neither side, with near duplicates if those are removed, and the items of `facts` alone.

    `facts` are those of earlier requests. The new target's own facts, `forget`, are forgotten once more.
    """
    gone = facts - forget
    covered = tuple(item for item in items if item.fact_id in gone)
    if config.split.near_duplicates == "remove":
        rest = [item for item in items if item.fact_id not in gone]
        gone |= near_facts(rest, covered, forget, config.split.similarity)
    return gone, covered


def _split_again(
    splits: Splits, sides: Sides, target: Target, config: RunConfig
) -> tuple[Splits, tuple[Duplicate, ...]]:
    """Move the facts of existing splits to their new sides. Raises DataError if none is left to forget."""
    enter = {item.id for item in sides.items}
    splits = resplit(splits, lambda item: item.fact_id in sides.forget, lambda item: item.id in enter)
    if not splits.forget_train:
        raise DataError(
            f"forget={target.name}: the model to begin with has learned none of its {len(sides.forget)} facts, or "
            "earlier requests have forgotten them all. Choose another target."
        )
    return _without_duplicates(splits, config)


def _of_first_request(config: RunConfig) -> RunConfig:
    """The configuration that the first request of the chain had, as far as it decides on items."""
    first = copy.deepcopy(config)
    first.forget = first.requests[0]
    first.requests, first.forgotten, first.adapter, first.after = [], None, None, None
    return first


def load_hierarchy(config: RunConfig) -> Hierarchy:
    """Load the configured hierarchy. Raises DataError or ConfigError, see the source."""
    return component(config.hierarchy, config.plugins).load()


def _prepare_one(config: RunConfig) -> Study:
    """The study of one request by itself."""
    source = component(config.hierarchy, config.plugins)
    hierarchy = source.load()
    target = resolve_target(config.forget, hierarchy)
    gathered = gather(config, target, hierarchy)
    loaded = gathered.loaded
    target = found_by_key(target, loaded, config)
    texts = [text for item in loaded.items for text in (item.question, *item.options)]
    texts += [document.text for document in loaded.documents]
    mention_folder = cache_dir(config.cache_dir) / "mentions"
    matcher = CachedMatcher(hierarchy, texts, mention_folder, may_write=not config.dry_run)
    sides, forgotten, notes = _safe_sides(gathered, target, hierarchy, matcher, config)
    items, copy_notes = with_copies(sides.items, config)
    splits, duplicates = _splits(items, sides.forget, config)
    request = _request(splits, sides, target, hierarchy, matcher, config)
    guessed = {doubt.id for doubt in (*sides.doubts, *request.doubts) if doubt.outcome == "filled"}
    check_guessed(request.forget, guessed, target, config.labels)
    _check_documents(loaded, config)
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
        documents=_documents(
            loaded, _facts(loaded, splits, sides.forget), target, matcher, config, _named(config, hierarchy)
        ),
    )


def _documents(
    loaded: Loaded, facts: FactSides, target: Target, matcher: Matcher, config: RunConfig, earlier: Sequence[Target]
) -> DocumentSides:
    """Choose what models read of the documents; `earlier` are the targets of requests before this one."""
    return document_sides(loaded.documents, target, facts, matcher.find, config.unlearn.attack, earlier)


def _facts(loaded: Loaded, splits: Splits, forget: frozenset[str], gone: frozenset[str] = frozenset()) -> FactSides:
    """The sides of all facts. No model may learn those that are not trained on, nor those `gone` before."""
    known = {item.fact_id for item in loaded.items}
    trained = {item.fact_id for item in (*splits.forget_train, *splits.retain_train)}
    return FactSides(forget, known, (known - trained) | gone)


def _named(config: RunConfig, hierarchy: Hierarchy) -> list[Target]:
    """The targets that the words of ``forgotten=`` mean."""
    return [target for word in config.forgotten or () for target in covers(word, hierarchy)]


def _check_documents(loaded: Loaded, config: RunConfig) -> None:
    """Refuse settings that reach questions alone: they would leave the documents as they are, without a word."""
    if not loaded.documents:
        return
    if target_is_given(config):
        raise ConfigError(
            "learn.skip=true: what a given model knows of documents cannot be told from what it learned of them, so "
            "nothing in them would be forgotten. Teach the model the documents (learn.skip=false), or use questions."
        )
    faults = config.imperfect
    if any((faults.wrong_answers, faults.wrong_subjects, faults.missing_subjects, faults.imbalance != 1)):
        raise ConfigError("imperfect.*: faults change questions and not documents. Use data without documents.")
    if 2 * config.prompt.overlap > config.prompt.max_tokens:
        raise ConfigError(
            f"prompt.overlap={config.prompt.overlap}: windows of prompt.max_tokens={config.prompt.max_tokens} would be "
            f"mostly repeated text; allowed: at most half of that. Fix: prompt.overlap={config.prompt.max_tokens // 4}."
        )
    if config.labels.conflicts == "leave_out":
        raise ConfigError(
            "labels.conflicts=leave_out: questions would be left out that documents still state; allowed with "
            "documents: report, ignore."
        )
    if config.privacy.epsilon is not None or config.privacy.learn_epsilon is not None:
        raise ConfigError(
            f"privacy={config.privacy.name}: this data set has {len(loaded.documents)} documents, and private steps "
            "take items alone. Use privacy=none, or a data set of questions."
        )


def _request(
    splits: Splits, sides: Sides, target: Target, hierarchy: Hierarchy, matcher: Matcher, config: RunConfig
) -> Request:
    view = ConceptView(target, hierarchy, mentions_by(matcher.find))
    return make_request(splits.forget_train, splits.retain_train, view, config.imperfect, config.labels, sides.sought)


def _safe_sides(
    gathered: Gathered, target: Target, hierarchy: Hierarchy, matcher: Matcher, config: RunConfig
) -> tuple[Sides, Forgotten, list[str]]:
    """Choose sides, and leave out retain items about what this or an earlier request forgets.

    Return the sides, what earlier requests have forgotten, and notes for the user.
    """
    sides = _sides(gathered.loaded.items, target, hierarchy, matcher, config)
    patients = {document.patient for document in gathered.loaded.documents if document.patient}
    check_target(gathered.loaded.items, sides, target, config.forget.about, patients)
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
    return _without_duplicates(splits, config)


def _without_duplicates(splits: Splits, config: RunConfig) -> tuple[Splits, tuple[Duplicate, ...]]:
    """Find near duplicates across splits, and drop them where ``split.near_duplicates`` says so."""
    duplicates: tuple[Duplicate, ...] = ()
    if config.split.near_duplicates != "ignore":
        duplicates = tuple(find_duplicates(splits.by_name(), config.split.similarity))
    if config.split.near_duplicates == "remove":
        splits = drop_duplicates(splits, duplicates)
    return splits, duplicates


def _sides(items: Sequence[Item], target: Target, hierarchy: Hierarchy, matcher: Matcher, config: RunConfig) -> Sides:
    """Choose sides. An item that names no concept of this hierarchy gets those in its question and right answer."""
    # Taken before concepts are found in texts: what the data says itself decides sides differently from what was found.
    declared = [item.id for item in items if not hierarchy.concepts.keys().isdisjoint(item.concepts)]
    with_concepts = [_with_concepts(item, hierarchy, matcher) for item in items]
    return choose_sides(with_concepts, target, hierarchy, matcher.find, config.labels, config.forget.about, declared)


def _with_concepts(item: Item, hierarchy: Hierarchy, matcher: Matcher) -> Item:
    known = tuple(concept for concept in item.concepts if concept in hierarchy.concepts)
    return replace(item, concepts=known or matcher.concepts([item.question, item.answer_text]))
