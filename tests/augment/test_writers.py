"""The preview grid of the first images of each class."""

import numpy as np
import pytest

from augan.augment.writers import PngWriter, PreviewGrid
from augan.data.modalities.images import ImagePreprocessing
from augan.io.images import read_image


class TestPreviewGrid:
    def add(self, grid, classes):
        classes = np.asarray(classes)
        images = np.broadcast_to(classes[:, None, None, None], (len(classes), 2, 2, 1))
        grid.add(images.astype(np.uint8), classes)

    def test_rows_has_a_row_for_each_class_padded_with_black(self):
        grid = PreviewGrid()
        self.add(grid, [7] * 25)
        self.add(grid, [3] * 4 + [7])
        rows = grid.rows()[:, :, 0, 0, 0]
        assert rows.tolist() == [[3] * 4 + [0] * 6, [7] * 10]
        assert grid.classes() == [3, 7]
        assert not grid.is_full(3)
        self.add(grid, [3] * 6)
        assert grid.is_full(3)

    def test_rows_of_one_class_are_several(self):
        grid = PreviewGrid()
        self.add(grid, [1] * 34)
        assert not grid.is_full(1)
        rows = grid.rows()[:, :, 0, 0, 0]
        assert rows.sum(axis=1).tolist() == [10, 10, 10, 4]
        self.add(grid, [1] * 30)
        assert grid.is_full(1)
        assert grid.rows().sum() == 4 * 40

    def test_rows_has_at_most_twelve_classes(self):
        grid = PreviewGrid()
        self.add(grid, np.arange(1, 30))
        assert grid.rows().shape == (12, 1, 2, 2, 1)
        assert grid.classes() == list(range(1, 13))
        assert grid.is_full(20)


@pytest.mark.parametrize(("dtype", "high"), [("uint8", 1.0), ("uint8", 16.0), ("uint16", 4000.0)])
def test_pictures_show_the_range_of_the_model_and_files_keep_the_values(tmp_path, dtype, high):
    preprocessing = ImagePreprocessing(8, 1, dtype, 0.0, high)
    images = np.full((2, 8, 8, 1), int(high), dtype)
    writer = PngWriter(tmp_path, preprocessing, "none", 0, ())
    files = writer.add(images, np.zeros(2, int), np.arange(2), "")
    np.testing.assert_array_equal(read_image(tmp_path / files[0]), images[0])
    assert writer.preview().images.max() == 255
