import numpy as np

from ocr_model.data.seeding import generator_of

FIRST = 0.31364088959915426


def test_a_key_gives_the_same_numbers_on_every_machine_and_for_ever() -> None:
    assert generator_of(0, 1, 2, 3).random() == FIRST
    assert generator_of(0, 1, 2, 3).random() == FIRST


def test_other_keys_give_other_numbers() -> None:
    keys = [(a, b, c) for a in range(5) for b in range(5) for c in range(5)] + [(12, 3), (1, 23)]
    assert len({generator_of(*key).random() for key in keys}) == len(keys)


def test_first_numbers_of_neighbouring_keys_are_spread_evenly() -> None:
    firsts = np.array([generator_of(0, 0, 7, row).random() for row in range(2000)])
    counts, _ = np.histogram(firsts, 10, (0, 1))
    assert counts.min() > 150
    assert counts.max() < 250
    assert abs(np.corrcoef(firsts[:-1], firsts[1:])[0, 1]) < 0.08
