"""Injected faults have their exact share, depend on the seed, and change nothing else."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from duolearn_cli.data import label_noise
from duolearn_cli.data.items import Item

SUBJECTS = ("Surgery", "Anatomy", "Medicine")
ITEMS = [
    Item(f"i{n}", f"question {n}?", ("a", "b", "c", "d"), n % 4, SUBJECTS[n % 3], "t", fact=f"f{n // 2}")
    for n in range(60)
]
shares = st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0])


@given(shares, st.integers(0, 5))
def test_whole_facts_lose_their_subject_in_the_configured_share(share, seed):
    noisy = label_noise.without_subjects(ITEMS, share, seed)
    lost = {item.fact for item in noisy if item.subject is None}
    assert len(lost) == round(share * 30)
    for old, new in zip(ITEMS, noisy, strict=True):
        assert new == (replace(old, subject=None, topic=None) if old.fact in lost else old)


@given(shares, st.integers(0, 5))
def test_wrong_answers_are_wrong_options_in_the_exact_share(share, seed):
    noisy = label_noise.with_wrong_answers(ITEMS, share, seed)
    changed = [(old, new) for old, new in zip(ITEMS, noisy, strict=True) if old != new]
    assert len(changed) == round(share * 60)
    assert all(new == replace(old, answer=new.answer) and 0 <= new.answer < 4 for old, new in changed)


@given(shares, st.integers(0, 5))
def test_wrong_subjects_are_other_subjects_of_the_data(share, seed):
    items = [replace(item, subject=SUBJECTS[int(item.fact[1:]) % 3]) for item in ITEMS]
    noisy = label_noise.with_wrong_subjects(items, share, seed)
    wrong = {new.fact for old, new in zip(items, noisy, strict=True) if old.subject != new.subject}
    assert len(wrong) == round(share * 30)
    assert all(len({item.subject for item in noisy if item.fact == fact}) == 1 for fact in wrong)


def test_a_wrong_subject_is_never_the_same_subject_with_another_topic():
    items = [replace(item, subject=SUBJECTS[n % 2], topic=f"t{n % 5}", fact="") for n, item in enumerate(ITEMS)]
    noisy = label_noise.with_wrong_subjects(items, 0.5, 0)
    assert sum(old.subject != new.subject for old, new in zip(items, noisy, strict=True)) == 30
    one = [replace(item, subject="Psychiatry") for item in items]
    noisy = label_noise.with_wrong_subjects(one, 0.5, 0)
    assert sum(old.topic != new.topic for old, new in zip(one, noisy, strict=True)) == 30


def test_a_larger_share_contains_a_smaller_one_and_seeds_differ():
    def missing(share, seed):
        return {item.id for item in label_noise.without_subjects(ITEMS, share, seed) if item.subject is None}

    assert missing(0.1, 0) < missing(0.4, 0)
    assert missing(0.4, 0) != missing(0.4, 1)


def test_one_subject_alone_cannot_be_wrong():
    items = [replace(item, subject="Surgery") for item in ITEMS]
    assert label_noise.with_wrong_subjects(items, 1.0, 0) == items


def test_imbalance_thins_subjects_from_whole_to_one_part_in_ratio():
    sizes = sorted(Counter(item.subject for item in label_noise.imbalanced(ITEMS, 4.0, 0)).values())
    assert sizes == [5, 10, 20]
    assert label_noise.imbalanced(ITEMS, 1.0, 0) == ITEMS
    thinned = label_noise.imbalanced(ITEMS, 1000.0, 0)
    assert min(Counter(item.subject for item in thinned).values()) == 1
    assert thinned == [item for item in ITEMS if item in thinned]
