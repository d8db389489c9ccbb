"""Coverage and recovery on a made-up data set, against values by hand; on MedMCQA, if it is available."""

import pytest

from duolearn_cli.concepts.concept import Concept
from duolearn_cli.concepts.hierarchy import Hierarchy
from duolearn_cli.concepts.matcher import Matcher
from duolearn_cli.data.items import Item
from duolearn_cli.evaluation.hierarchy_fit import survey
from tests.conftest import REAL_DATA

HIERARCHY = Hierarchy(
    [
        Concept("surgery", 3, "surgery", subjects=("Surgery",)),
        Concept("hernia", 4, "hernia", ("surgery",)),
        Concept("medicine", 3, "medicine", subjects=("Medicine",)),
        Concept("fever", 4, "fever", ("medicine",)),
    ]
)


def item(number, question, options, subject):
    return Item(str(number), question, options, 0, subject)


def test_by_hand():
    items = [
        item(0, "A hernia?", ("yes", "no"), "Surgery"),
        item(1, "Which?", ("hernia", "no"), "Surgery"),
        item(2, "Which?", ("no", "fever"), "Surgery"),
        item(3, "Nothing?", ("no", "yes"), "Medicine"),
        item(4, "A fever?", ("no", "yes"), None),
    ]
    surveys = survey(items, HIERARCHY, Matcher(HIERARCHY).concepts, threshold=0.5)
    assert list(surveys) == ["all", "Surgery", "Medicine"]
    whole = surveys["all"]
    assert (whole.question.value, whole.answered.value, whole.options.value) == pytest.approx((2 / 5, 3 / 5, 4 / 5))
    # There are too few labels to learn from, so both guesses are votes. The third item's only concept is of medicine.
    assert (whole.voted.value, whole.learned.value) == pytest.approx((2 / 4, 2 / 4))
    assert whole.filled.value == pytest.approx(3 / 4) and whole.precision.value == pytest.approx(2 / 3)
    assert surveys["Medicine"].options.value == 0 and surveys["Surgery"].voted.value == pytest.approx(2 / 3)
    assert whole.learned.n == 4 and whole.question.n == 5


@pytest.mark.skipif(not REAL_DATA.is_file(), reason="needs the MedMCQA sample beside the project")
def test_the_embedded_hierarchy_covers_medmcqa():
    from duolearn_cli.config.compose import component, compose
    from duolearn_cli.pipeline.prepare import load_hierarchy

    config = compose("unlearn", ["+forget=surgery", "dataset=medmcqa", f"dataset.path={REAL_DATA}"])
    hierarchy = load_hierarchy(config)
    surveys = survey(component(config.dataset).load().items, hierarchy, Matcher(hierarchy).concepts, 0.5)
    assert surveys["all"].answered.value >= 0.85
    assert surveys["all"].learned.value >= 0.5 and surveys["all"].precision.value >= 0.65
