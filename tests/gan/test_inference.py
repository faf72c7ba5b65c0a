"""Tests of `augan.gan.inference`: a row's result is equal to the bit in all batches of a size."""

import numpy as np
import pytest

from augan.gan import tf
from augan.gan.inference import BATCH_SIZE, SMALL_BATCH_SIZES, BatchInference
from augan.gan.networks.build import build_network, network_spec

COUNTS = (1, 63, 64, 65, 130)
SHAPE = (16, 16, 1)


def build(role, classes, **more):
    arguments = {"width": 16, "num_classes": classes, "seed": 0, **more}
    return build_network(network_spec("dcgan", role, image_shape=list(SHAPE), **arguments))


def make(role):
    """Return a function of arrays and 130 rows of inputs."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (130, *SHAPE)).astype(np.float32)
    if role == "encoder":
        encoder = build("encoder", 3, latent_dim=8)
        return BatchInference(lambda x: encoder(x, training=False), SHAPE), (images,)
    if role == "discriminator":
        discriminator = build("discriminator", 0, norm="batch")
        return BatchInference(lambda x: discriminator(x, training=False), SHAPE), (images,)
    generator = build("generator", 3, latent_dim=8)
    rows = (
        rng.normal(size=(130, 8)).astype(np.float32),
        rng.dirichlet([1, 1, 1], 130).astype(np.float32),
    )
    return BatchInference(lambda z, c: generator([z, c], training=False), (8,), (3,)), rows


@pytest.fixture(scope="module", params=["encoder", "discriminator", "generator"])
def case(request):
    infer, rows = make(request.param)
    return infer, rows, infer(*rows)


def assert_rows(outputs, expected, chosen):
    assert len(outputs) == len(expected)
    for actual, all_rows in zip(outputs, expected):
        np.testing.assert_array_equal(actual, all_rows[chosen])


@pytest.mark.parametrize("count", COUNTS)
def test_any_number_of_rows(case, count):
    infer, rows, expected = case
    for start in {0, 130 - count, 1 if count < 130 else 0}:
        chosen = np.arange(start, start + count)
        outputs = infer(*(x[chosen] for x in rows))
        assert all(len(output) == count for output in outputs)
        assert_rows(outputs, expected, chosen)


@pytest.mark.parametrize("count", COUNTS)
def test_any_order(case, count):
    infer, rows, expected = case
    chosen = np.random.default_rng(count).permutation(130)[:count]
    assert_rows(infer(*(x[chosen] for x in rows)), expected, chosen)


def test_result_of_a_row_does_not_depend_on_other_rows(case):
    infer, rows, expected = case
    rng = np.random.default_rng(9)
    for place in (0, 1, 31, 63, 64, 100):
        strange = [rng.normal(0, 50, x.shape).astype(np.float32) for x in rows]
        for other, x in zip(strange, rows):
            other[place] = x[7]
        for actual, all_rows in zip(infer(*strange), expected):
            np.testing.assert_array_equal(actual[place], all_rows[7])


def test_result_of_a_row_does_not_depend_on_non_finite_rows(case):
    infer, rows, expected = case
    corrupted = [x.copy() for x in rows]
    corrupted[0][5] = np.nan
    others = np.setdiff1d(np.arange(130), [5])
    for actual, all_rows in zip(infer(*corrupted), expected):
        np.testing.assert_array_equal(actual[others], all_rows[others])


def test_repeated_rows_give_equal_results(case):
    infer, rows, _ = case
    for output in infer(*(np.repeat(x[3:4], 130, axis=0) for x in rows)):
        assert (output == output[0]).all()


def test_different_rows_give_different_results(case):
    _, _, expected = case
    assert all(len(np.unique(output.reshape(130, -1), axis=0)) == 130 for output in expected)


@pytest.mark.parametrize("count", COUNTS)
def test_batches_are_cut_to_the_number_of_rows(case, count):
    infer, rows, expected = case
    parts = list(infer.batches(*(x[:count] for x in rows)))
    sizes = [len(piece[0]) for piece in parts]
    assert sizes == [BATCH_SIZE] * (count // BATCH_SIZE) + [count % BATCH_SIZE] * (
        count % BATCH_SIZE > 0
    )
    for position, all_rows in enumerate(expected):
        joined = np.concatenate([piece[position] for piece in parts])
        np.testing.assert_array_equal(joined, all_rows[:count])


def test_function_is_traced_once_for_full_batches():
    traces = []

    def double(x):
        traces.append(x.shape)
        return 2 * x

    infer = BatchInference(double, (3,))
    for count in COUNTS:
        x = np.arange(3 * count, dtype=np.float64).reshape(count, 3)
        (output,) = infer(x)
        np.testing.assert_array_equal(output, 2 * x)
        assert output.dtype == np.float32
    assert traces == [(BATCH_SIZE, 3)]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [1]),
        (5, [1] * 5),
        (6, [8]),
        (10, [8, 1, 1]),
        (47, [8] * 6),
        (48, [64]),
        (65, [64, 64]),
        (130, [64, 64, 64]),
    ],
)
def test_small_batches_fit_the_number_of_rows(count, expected):
    sizes = []

    def number(x):
        return x + tf.cast(tf.shape(x)[0], tf.float32)

    infer = BatchInference(number, (1,))
    for (output,) in infer.batches(np.zeros((count, 1)), small_batches=True):
        sizes.append(int(output[0, 0]))
        assert (output == output[0]).all()
    assert sizes == expected
    assert set(sizes) <= {BATCH_SIZE, *SMALL_BATCH_SIZES}


def test_rows_of_small_batches_are_equal_within_one_size_and_close_across_sizes(case):
    infer, rows, expected = case
    order = np.random.default_rng(0).permutation(128)

    def infer_in_parts(count, chosen):
        parts = [chosen[start : start + count] for start in range(0, 128, count)]
        outputs = [infer(*(x[part] for x in rows), small_batches=True) for part in parts]
        return [np.concatenate(output) for output in zip(*outputs)]

    for count in SMALL_BATCH_SIZES:
        in_order, shuffled = infer_in_parts(count, np.arange(128)), infer_in_parts(count, order)
        for own, other, all_rows in zip(in_order, shuffled, expected):
            np.testing.assert_array_equal(other, own[order])
            np.testing.assert_allclose(own, all_rows[:128], atol=1e-5)


def test_rows_can_come_from_a_memory_map(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(200, dtype=np.float32).reshape(100, 2))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    (output,) = BatchInference(lambda x: tf.reduce_sum(x, axis=1), (2,))(mapped)
    np.testing.assert_array_equal(output, mapped.sum(axis=1))
