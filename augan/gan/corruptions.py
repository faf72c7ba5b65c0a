"""Corruptions of real images: negative data augmentations and synthetic surface defects.

Negative data augmentation (Sinha et al. 2021) makes images that look real at first sight and yet
are not, from real images alone. A discriminator that must also classify them as fake, and a
localization head that must find the corrupted locations, learn features that detect defects.

The synthetic defects imitate damage of surfaces: cracks, scratches, spots, blobs, worn edges and
patches of another texture, from faint to strong. Their sizes are in pixels, so they are meant for
images, or tiles of images, at the original scale.

Each corruption takes images `[N, S, S, C]` in [-1, 1] and a seed, an int32 tensor `[2]`. The batch
is the source of other content: the neighbor of each image in the batch is the other image.
"""

import math
from collections.abc import Sequence

import tensorflow as tf

from augan.choices import CORRUPTIONS, Corruption
from augan.gan.tensorflow import Tensor

MIN_VISIBLE_CHANGE = 0.05  # smallest change of a pixel that counts as a corruption
# Range of the change of brightness of a synthetic defect; the range of images is 2.
_MIN_CHANGE, _MAX_CHANGE = 0.15, 1.5
_MAX_CRACK_LENGTH = 64  # points, one pixel apart


def corrupt(images: Tensor, kinds: Sequence[str], seed: Tensor) -> Tensor:
    """Return a batch of corrupted images, split equally among several kinds of corruption.

    Parameters
    ----------
    images : Tensor [N, S, S, C]
        Real images in [-1, 1]; `N` must be known when the graph is built.
    kinds : sequence of str
        Names in `CORRUPTIONS`; the first part of the batch gets the first kind, and so on.
    seed : Tensor [2]
        Int32 seed; equal seeds give equal corruptions.
    """
    count = images.shape[0]
    ends = [count * (i + 1) // len(kinds) for i in range(len(kinds))]
    parts = tf.split(images, [end - start for start, end in zip([0, *ends], ends)])
    corrupted = [
        CORRUPTIONS.load(kind)(part, seed + tf.constant([16 * (i + 1), 0]))
        for i, (kind, part) in enumerate(zip(kinds, parts))
    ]
    return tf.concat(corrupted, axis=0)


def corruption_mask(images: Tensor, corrupted: Tensor, stride: int) -> Tensor:
    """Return a mask of the locations that a corruption visibly changed: 1 or 0, `[N, H, W, 1]`.

    A location is a square of `stride` x `stride` pixels, so H and W are the height and width of the
    images divided by `stride`. A location counts as changed if any channel of any of its pixels
    differs by more than `MIN_VISIBLE_CHANGE`.
    """
    change = tf.reduce_max(tf.abs(corrupted - images), axis=-1, keepdims=True)
    is_visible = tf.cast(change > MIN_VISIBLE_CHANGE, images.dtype)
    return tf.nn.max_pool2d(is_visible, stride, stride, "SAME")


# --- negative data augmentations


@CORRUPTIONS.register(
    Corruption(
        "cut_paste", description="a rectangle of another image", default_for=("images", "tiles")
    )
)
def cut_paste(images: Tensor, seed: Tensor) -> Tensor:
    """Paste a rectangle of another image into each image (Li et al. 2021, "CutPaste").

    The rectangle comes from another location; its sides are 15 to 60 % of the image's side.
    """
    mask = _rectangle(images, seed, 0.15, 0.6)
    return images * (1 - mask) + _rolled_neighbor(images, seed) * mask


@CORRUPTIONS.register(Corruption("jigsaw", description="swapped halves", default_for=("images",)))
def jigsaw(images: Tensor, seed: Tensor) -> Tensor:
    """Swap the halves of each image: upper with lower, or left with right, at random."""
    half = images.shape[1] // 2
    swapped_rows = tf.roll(images, half, axis=1)
    swapped_columns = tf.roll(images, half, axis=2)
    return tf.where(_uniform(images, seed, 0) < 0.5, swapped_rows, swapped_columns)


@CORRUPTIONS.register(
    Corruption(
        "perlin",
        description="blobs of smooth noise, filled with another image",
        default_for=("images", "tiles"),
    )
)
def perlin(images: Tensor, seed: Tensor) -> Tensor:
    """Blend another location of another image into blobs of smooth noise.

    Zavrtanik et al. 2021, "DRAEM", with noise of two octaves instead of Perlin noise.
    """
    count, side = tf.shape(images)[0], images.shape[1]
    noise = sum(
        tf.image.resize(
            tf.random.stateless_normal((count, cells, cells, 1), seed + tf.constant([cells, 0])),
            (side, side),
            method="bicubic",
        )
        for cells in (4, 8)
    )
    level = 1.0 + 0.8 * _uniform(images, seed, 1)
    blobs = tf.cast(noise > level, images.dtype)
    strength = 0.4 + 0.6 * _uniform(images, seed, 2)
    return images + blobs * strength * (_rolled_neighbor(images, seed) - images)


@CORRUPTIONS.register(
    Corruption("scar", description="a thin bar, darker or lighter", default_for=("images",))
)
def scar(images: Tensor, seed: Tensor) -> Tensor:
    """Paint a thin bar of any direction, darker or lighter than the image at that location."""
    side = images.shape[1]
    axis = (tf.range(side, dtype=images.dtype) + 0.5) / side
    rows, columns = axis[None, :, None, None], axis[None, None, :, None]
    angle = 3.14159 * _uniform(images, seed, 3)
    y = rows - (0.2 + 0.6 * _uniform(images, seed, 4))
    x = columns - (0.2 + 0.6 * _uniform(images, seed, 5))
    along = x * tf.cos(angle) + y * tf.sin(angle)
    across = -x * tf.sin(angle) + y * tf.cos(angle)
    length = 0.1 + 0.25 * _uniform(images, seed, 6)
    width = (0.6 + 1.4 * _uniform(images, seed, 7)) / side
    bar = tf.cast((tf.abs(along) < length) & (tf.abs(across) < width), images.dtype)
    change = tf.where(_uniform(images, seed, 8) < 0.5, -1.0, 1.0)
    change *= 0.2 + 0.8 * _uniform(images, seed, 9)
    return tf.clip_by_value(images + bar * change, -1.0, 1.0)


def _uniform(images: Tensor, seed: Tensor, slot: int) -> Tensor:
    """Return one uniform random number in [0, 1) for each image, `[N, 1, 1, 1]`."""
    shape = (tf.shape(images)[0], 1, 1, 1)
    return tf.random.stateless_uniform(shape, seed + tf.constant([100 + slot, 0]))


def _rectangle(images: Tensor, seed: Tensor, shortest: float, longest: float) -> Tensor:
    """Return a mask that is 1 inside a random rectangle of each image, `[N, S, S, 1]`.

    `shortest` and `longest` limit the sides of the rectangle, as fractions of S.
    """
    side = images.shape[1]
    centers = (tf.range(side, dtype=images.dtype) + 0.5) / side
    inside = []
    for slot, positions in ((10, centers[None, :, None, None]), (12, centers[None, None, :, None])):
        length = shortest + (longest - shortest) * _uniform(images, seed, slot)
        start = (1 - length) * _uniform(images, seed, slot + 1)
        inside.append((positions >= start) & (positions < start + length))
    return tf.cast(inside[0] & inside[1], images.dtype)


def _rolled_neighbor(images: Tensor, seed: Tensor) -> Tensor:
    """Return the previous image of the batch for each image, shifted cyclically at random.

    All images have the same shift of 1/8 to 7/8 of the side in each direction.
    """
    side = images.shape[1]
    offset = tf.random.stateless_uniform((2,), seed, side // 8, side - side // 8, dtype=tf.int32)
    return tf.roll(tf.roll(images, 1, axis=0), offset, axis=(1, 2))


# --- synthetic surface defects


@CORRUPTIONS.register(
    Corruption("crack", description="a thin wandering line", default_for=("tiles",))
)
def crack(images: Tensor, seed: Tensor) -> Tensor:
    """Paint a thin wandering line, darker or lighter than the image at that location."""
    params = _RandomParams(images, seed)
    start = params.uniform(0, 0.1, 0.9, (2,)) * images.shape[1]
    turns = params.normal(1, (_MAX_CRACK_LENGTH,)) * params.uniform(2, 0.05, 0.35, (1,))
    angle = params.uniform(3, 0.0, 2 * math.pi, (1,)) + tf.cumsum(turns, axis=1)
    points = start[:, None, :] + tf.cumsum(tf.stack([tf.sin(angle), tf.cos(angle)], -1), axis=1)
    # The points after the end of the line move to its first point, where they add nothing.
    length = params.uniform(4, 10.0, float(_MAX_CRACK_LENGTH), (1,))
    is_on_line = tf.range(_MAX_CRACK_LENGTH, dtype=images.dtype) < length
    points = tf.where(is_on_line[..., None], points, points[:, :1])
    y, x = (axis - points[:, None, None, :, i] for i, axis in enumerate(params.axes()))
    squared = y**2 + x**2
    distance = tf.sqrt(tf.reduce_min(squared, axis=-1, keepdims=True))
    line = tf.clip_by_value(params.uniform(5, 0.6, 2.5) / 2 + 0.5 - distance, 0.0, 1.0)
    return _clipped_sum(images, params.change() * line)


@CORRUPTIONS.register(Corruption("scratch", description="a straight line", default_for=("tiles",)))
def scratch(images: Tensor, seed: Tensor) -> Tensor:
    """Paint a straight line of any length and direction, darker or lighter than the image."""
    params, side = _RandomParams(images, seed), images.shape[1]
    y, x = (axis - params.uniform(slot, 0.1, 0.9) * side for slot, axis in enumerate(params.axes()))
    angle = params.uniform(2, 0.0, math.pi)
    along = x * tf.cos(angle) + y * tf.sin(angle)
    across = -x * tf.sin(angle) + y * tf.cos(angle)
    beyond_end = tf.nn.relu(tf.abs(along) - params.uniform(3, 4.0, side / 2))
    distance = tf.sqrt(across**2 + beyond_end**2)
    line = tf.clip_by_value(params.uniform(4, 0.6, 2.5) / 2 + 0.5 - distance, 0.0, 1.0)
    return _clipped_sum(images, params.change() * line)


@CORRUPTIONS.register(
    Corruption("spots", description="one to three small oval spots", default_for=("tiles",))
)
def spots(images: Tensor, seed: Tensor) -> Tensor:
    """Paint one to three small oval spots, all darker or all lighter than the image."""
    params = _RandomParams(images, seed)
    count = params.uniform(0, 0.0, 3.0)
    ovals = [
        params.oval(10 * (i + 1), 1.0, 7.0) * tf.cast(count >= i, tf.float32) for i in range(3)
    ]
    return _clipped_sum(images, params.change() * tf.reduce_max(tf.stack(ovals), axis=0))


@CORRUPTIONS.register(
    Corruption("soft_blob", description="an oval with soft edges", default_for=("tiles",))
)
def soft_blob(images: Tensor, seed: Tensor) -> Tensor:
    """Brighten or darken an oval with soft edges."""
    params = _RandomParams(images, seed)
    oval = params.oval(10, 5.0, 20.0, params.uniform(0, 0.5, 3.0))
    return _clipped_sum(images, 0.7 * params.change() * oval)


@CORRUPTIONS.register(
    Corruption("blob", description="a patch of irregular shape", default_for=("tiles",))
)
def blob(images: Tensor, seed: Tensor) -> Tensor:
    """Brighten or darken a patch of irregular shape."""
    params = _RandomParams(images, seed)
    return _clipped_sum(images, params.change() * params.patch())


@CORRUPTIONS.register(
    Corruption("noise_patch", description="pixel noise in a patch", default_for=("tiles",))
)
def noise_patch(images: Tensor, seed: Tensor) -> Tensor:
    """Add pixel noise in a patch of irregular shape."""
    params = _RandomParams(images, seed)
    noise = params.normal(0, (*images.shape[1:3], 1))
    return _clipped_sum(images, 0.7 * params.change() * noise * params.patch())


@CORRUPTIONS.register(
    Corruption("blur_patch", description="a blurred patch", default_for=("tiles",))
)
def blur_patch(images: Tensor, seed: Tensor) -> Tensor:
    """Blur a patch of irregular shape."""
    params = _RandomParams(images, seed)
    blurred = images
    for _ in range(2):
        blurred = tf.nn.avg_pool2d(blurred, 5, 1, "SAME")
    return _clipped_sum(images, params.patch() * (blurred - images))


@CORRUPTIONS.register(
    Corruption(
        "texture_patch", description="a patch of another image, rotated", default_for=("tiles",)
    )
)
def texture_patch(images: Tensor, seed: Tensor) -> Tensor:
    """Replace a patch of irregular shape with another image, rotated by 90 degrees."""
    params = _RandomParams(images, seed)
    other = tf.image.rot90(tf.roll(images, 1, axis=0))
    return _clipped_sum(images, params.patch() * (other - images))


@CORRUPTIONS.register(
    Corruption(
        "edge_wear",
        description="a flat area along one side, with a rough edge",
        default_for=("tiles",),
    )
)
def edge_wear(images: Tensor, seed: Tensor) -> Tensor:
    """Cover one side of each image, up to a rough edge, with a flat area of random gray."""
    params, side = _RandomParams(images, seed), images.shape[1]
    edge = params.smooth_noise(0, 1, 8) * params.uniform(1, 2.0, 9.0)
    edge += params.uniform(2, 0.05, 0.35) * side
    rows, _ = params.axes()
    covered = tf.clip_by_value(edge[:, :1] - rows, 0.0, 1.0)
    covered = tf.where(params.uniform(3) < 0.5, covered, covered[:, ::-1])
    covered = tf.where(params.uniform(4) < 0.5, covered, tf.transpose(covered, (0, 2, 1, 3)))
    area = params.uniform(5, -1.0, 1.0)
    area += params.uniform(6, 0.0, 0.1) * params.normal(7, (side, side, 1))
    return _clipped_sum(images, covered * (area - images))


class _RandomParams:
    """Random parameters of one synthetic defect for each image of a batch.

    Each method takes a `slot`, a number that names the parameter: equal seeds and slots give equal
    numbers, and different slots give independent numbers.

    Parameters
    ----------
    images : Tensor [N, S, S, C]
        Batch that the defect is painted on; sets the shapes of the results.
    seed : Tensor [2]
        Int32 seed of the defect.
    """

    def __init__(self, images: Tensor, seed: Tensor) -> None:
        self.images, self.seed = images, seed

    def uniform(
        self, slot: int, low: float = 0.0, high: float = 1.0, shape: tuple[int, ...] = (1, 1, 1)
    ) -> Tensor:
        """Return uniform random numbers in [low, high), `[N, *shape]`."""
        shape = (tf.shape(self.images)[0], *shape)
        return tf.random.stateless_uniform(shape, self._slot_seed(slot), low, high)

    def normal(self, slot: int, shape: tuple[int, ...]) -> Tensor:
        """Return standard normal random numbers, `[N, *shape]`."""
        shape = (tf.shape(self.images)[0], *shape)
        return tf.random.stateless_normal(shape, self._slot_seed(slot))

    def _slot_seed(self, slot: int) -> Tensor:
        """Return the seed, int32 `[2]`, of the random numbers of a slot."""
        return self.seed + tf.constant([200 + slot, 0])

    def axes(self) -> tuple[Tensor, Tensor]:
        """Return the pixel coordinates, rows `[1, S, 1, 1]` and columns `[1, 1, S, 1]`."""
        positions = tf.range(self.images.shape[1], dtype=self.images.dtype)
        return positions[None, :, None, None], positions[None, None, :, None]

    def change(self) -> Tensor:
        """Return the change of brightness of a defect for each image, `[N, 1, 1, 1]`.

        The absolute change is log-uniform from `_MIN_CHANGE` to `_MAX_CHANGE`; the sign is random.
        """
        low, high = math.log(_MIN_CHANGE), math.log(_MAX_CHANGE)
        return tf.exp(self.uniform(90, low, high)) * tf.where(self.uniform(91) < 0.5, -1.0, 1.0)

    def oval(
        self, slot: int, shortest: float, longest: float, softness: float | Tensor = 0.8
    ) -> Tensor:
        """Return a soft mask of one random oval for each image, `[N, S, S, 1]`.

        The mask is 1 inside and 0 outside. The long radius is log-uniform from `shortest` to
        `longest` pixels; `softness` is the width of the edge in pixels.
        """
        side = self.images.shape[1]
        y, x = (
            axis - self.uniform(slot + i, 0.05, 0.95) * side for i, axis in enumerate(self.axes())
        )
        angle = self.uniform(slot + 2, 0.0, math.pi)
        along = x * tf.cos(angle) + y * tf.sin(angle)
        across = (-x * tf.sin(angle) + y * tf.cos(angle)) / self.uniform(slot + 3, 0.5, 1.0)
        radius = tf.exp(self.uniform(slot + 4, math.log(shortest), math.log(longest)))
        return tf.sigmoid(2 * (radius - tf.sqrt(along**2 + across**2 + 1e-6)) / softness)

    def smooth_noise(self, slot: int, rows: int, columns: int) -> Tensor:
        """Return smooth noise `[N, S, S, 1]`: `rows` x `columns` normal numbers, enlarged."""
        side = self.images.shape[1]
        grid = self.normal(slot, (rows, columns, 1))
        return tf.image.resize(grid, (side, side), method="bicubic")

    def patch(self) -> Tensor:
        """Return a soft mask in [0, 1] of one irregular patch for each image, `[N, S, S, 1]`."""
        noise = tf.where(
            self.uniform(60) < 0.5, self.smooth_noise(61, 4, 4), self.smooth_noise(62, 10, 10)
        )
        ragged = tf.sigmoid(12 * (noise - self.uniform(63, -0.5, 0.8)))
        return self.oval(70, 5.0, 24.0) * tf.where(self.uniform(64) < 0.3, 1.0, ragged)


def _clipped_sum(images: Tensor, change: Tensor) -> Tensor:
    """Return the images plus a change of brightness, clipped to [-1, 1]."""
    return tf.clip_by_value(images + change, -1.0, 1.0)
