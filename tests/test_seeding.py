"""Named child seeds: stable, distinct, and without a trace in anyone's global state."""

import random

import numpy as np
import pytest

from augan.seeding import child_rng, child_seed

NAMES = ("generator", "discriminator", "encoder", "classifier", "noise", "split")


def test_values_are_pinned():
    # A change here changes every training: old seeds no longer repeat old runs.
    assert child_seed(0, "generator") == 395443473
    assert child_rng(0, "split").integers(0, 2**31, 3).tolist() == [
        1138660589,
        1067254748,
        1789616217,
    ]


def test_children_differ_by_name_and_by_seed():
    seeds = [child_seed(seed, name) for seed in range(50) for name in NAMES]
    assert len(set(seeds)) == len(seeds)
    draws = {child_rng(seed, name).random() for seed in range(50) for name in NAMES}
    assert len(draws) == 50 * len(NAMES)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b"), ("b", "a")),
        (("a", "b"), ("ab",)),
        (("epoch", 1), ("epoch", 11)),
        (("epoch", 0), ("epoch",)),
        ((), ("",) * 2),
    ],
)
def test_paths_of_names_are_told_apart(one, other):
    assert child_seed(3, *one) != child_seed(3, *other)
    assert child_rng(3, *one).random() != child_rng(3, *other).random()


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, 2**62])
def test_a_child_seed_fits_every_library(seed):
    for number in range(200):
        child = child_seed(seed, "part", number)
        assert type(child) is int
        assert 0 <= child < 2**31


def test_a_child_does_not_depend_on_what_was_drawn_before():
    first = child_seed(7, "encoder")
    child_seed(7, "something new")
    child_rng(7, "something new").random(100)
    assert child_seed(7, "encoder") == first


def test_generators_of_one_name_are_independent_objects():
    one, other = child_rng(1, "x"), child_rng(1, "x")
    drawn = one.random(5)
    np.testing.assert_array_equal(other.random(5), drawn)


def test_global_states_are_left_alone():
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    before = np.random.get_state()  # noqa: NPY002
    python_before = random.getstate()
    child_seed(0, "generator")
    child_rng(0, "generator").normal(size=10)
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]
    assert random.getstate() == python_before
