"""Tests of `augan.translate.tiles`: overlapping squares and their blending."""

import numpy as np
import pytest

from augan.data.modalities.images import ImagePreprocessing
from augan.translate.tiles import TileGrid, scaled_shape


@pytest.mark.parametrize("shape", [(5, 5), (8, 8), (8, 9), (23, 8), (40, 31), (3, 30)])
def test_squares_of_an_unchanged_canvas_blend_to_the_image(shape):
    image = np.random.default_rng(0).normal(size=(*shape, 3)).astype(np.float32)
    grid = TileGrid(*shape, 8)
    canvas = grid.to_canvas(image)
    assert canvas.shape[:2] == grid.canvas
    blender = grid.blender(3)
    for start in range(0, len(grid.corners), 4):
        squares = grid.cut(canvas, slice(start, start + 4))
        assert squares.shape[1:] == (8, 8, 3)
        blender.add(squares)
    np.testing.assert_allclose(blender.image(), image, atol=1e-5)
    np.testing.assert_array_equal(grid.from_canvas(canvas), image)


def test_a_step_between_two_squares_becomes_a_ramp():
    grid = TileGrid(8, 12, 8)
    blender = grid.blender(1)
    blender.add(np.stack([np.full((8, 8, 1), value, np.float32) for value in (0, 1)]))
    row = blender.image()[0, :, 0]
    assert (row[:4] == 0).all()
    assert (row[8:] == 1).all()
    assert (np.diff(row[3:9]) > 0).all()


def test_images_get_the_scale_of_the_training_images():
    of_one_size = ImagePreprocessing(32, 1, "uint8", 0, 255, (64, 48))
    assert scaled_shape(64, 48, of_one_size) == (32, 24)
    assert scaled_shape(128, 256, of_one_size) == (64, 128)
    small = ImagePreprocessing(32, 1, "uint8", 0, 255, (28, 28))
    assert scaled_shape(100, 20, small) == (100, 20)
    of_many_sizes = ImagePreprocessing(32, 1, "uint8", 0, 255)
    assert scaled_shape(128, 64, of_many_sizes) == (32, 16)
