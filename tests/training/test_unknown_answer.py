"""What an answer costs a model that does not know it: closed forms on small tensors."""

import torch

from duolearn_cli.training.unknown_answer import answer_places, unknown_nll


def test_places_count_the_answers_tokens_without_the_end_of_the_text():
    places = answer_places([False, True, True, True], [(0, 3), (3, 5), (5, 9), (9, 9)])
    assert places.tolist() == [-1, 0, 1, -1]


def test_each_place_is_raised_to_the_mean_of_wrong_options_there():
    own, places = torch.tensor([0.3, 0.5, 0.1, 2.0]), torch.tensor([-1, 0, 1, -1])
    wrong = [torch.tensor([4.0]), torch.tensor([8.0, 3.0])]
    assert unknown_nll(own, places, wrong).tolist() == torch.tensor([0.3, 6.0, 3.0, 2.0]).tolist()


def test_nothing_falls_and_what_no_wrong_option_reaches_stays():
    own, places = torch.tensor([7.0, 0.2]), torch.tensor([0, 1])
    assert unknown_nll(own, places, [torch.tensor([4.0])]).tolist() == own.tolist()
    assert unknown_nll(own, places, []).tolist() == own.tolist()
    assert unknown_nll(torch.tensor([]), torch.tensor([], dtype=torch.long), []).tolist() == []
