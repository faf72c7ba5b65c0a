"""Small defects painted on real images, as faint or as strong as chance has it.

Lines, spots, blots, worn edges and patches of another texture: what surfaces suffer. Sizes are in
pixels, so they are meant for images, or windows on them, at their own scale. As in
`augan.gan.corruptions`, each kind takes images `[N, S, S, C]` in [-1, 1] and a seed `[2]`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

Tensor = Any

_FAINTEST, _STRONGEST = 0.15, 1.5  # of a change of brightness; the range of images is 2
_LINE = 64  # points of the longest line, a pixel apart


def crack(images: Tensor, seed: Tensor) -> Tensor:
    """A thin line that wanders, darker or lighter than what lies there."""
    draw = _Draw(images, seed)
    start = draw.uniform(0, 0.1, 0.9, (2,)) * images.shape[1]
    turns = draw.normal(1, (_LINE,)) * draw.uniform(2, 0.05, 0.35, (1,))
    angle = draw.uniform(3, 0.0, 2 * math.pi, (1,)) + tf.cumsum(turns, axis=1)
    points = start[:, None, :] + tf.cumsum(tf.stack([tf.sin(angle), tf.cos(angle)], -1), axis=1)
    # Where the line has ended, its last points stay where the line began.
    length = draw.uniform(4, 10.0, float(_LINE), (1,))
    lasts = tf.range(_LINE, dtype=images.dtype) < length
    points = tf.where(lasts[..., None], points, points[:, :1])
    down, across = draw.axes()
    y, x = (axis - points[:, None, None, :, i] for i, axis in enumerate((down, across)))
    squares = y**2 + x**2
    distance = tf.sqrt(tf.reduce_min(squares, axis=-1, keepdims=True))
    line = tf.clip_by_value(draw.uniform(5, 0.6, 2.5) / 2 + 0.5 - distance, 0.0, 1.0)
    return _painted(images, draw.change() * line)


def scratch(images: Tensor, seed: Tensor) -> Tensor:
    """A straight line of any length and direction, darker or lighter than what lies there."""
    draw, side = _Draw(images, seed), images.shape[1]
    down, across = draw.axes()
    y, x = (axis - draw.uniform(slot, 0.1, 0.9) * side for slot, axis in ((0, down), (1, across)))
    angle = draw.uniform(2, 0.0, math.pi)
    along = x * tf.cos(angle) + y * tf.sin(angle)
    off = -x * tf.sin(angle) + y * tf.cos(angle)
    beyond = tf.nn.relu(tf.abs(along) - draw.uniform(3, 4.0, side / 2))
    distance = tf.sqrt(off**2 + beyond**2)
    line = tf.clip_by_value(draw.uniform(4, 0.6, 2.5) / 2 + 0.5 - distance, 0.0, 1.0)
    return _painted(images, draw.change() * line)


def spots(images: Tensor, seed: Tensor) -> Tensor:
    """One to three small round or oval spots, all darker or all lighter."""
    draw = _Draw(images, seed)
    count = draw.uniform(0, 0.0, 3.0)
    discs = [draw.disc(10 * (i + 1), 1.0, 7.0) * _where(count >= i) for i in range(3)]
    return _painted(images, draw.change() * tf.reduce_max(tf.stack(discs), axis=0))


def soft_blob(images: Tensor, seed: Tensor) -> Tensor:
    """A soft patch, brighter or darker."""
    draw = _Draw(images, seed)
    patch = draw.disc(10, 5.0, 20.0, draw.uniform(0, 0.5, 3.0))
    return _painted(images, 0.7 * draw.change() * patch)


def blob(images: Tensor, seed: Tensor) -> Tensor:
    """A patch of any form, brighter or darker."""
    draw = _Draw(images, seed)
    return _painted(images, draw.change() * draw.patch())


def noise_patch(images: Tensor, seed: Tensor) -> Tensor:
    """A patch of any form with noise in each pixel."""
    draw = _Draw(images, seed)
    noise = draw.normal(0, (*images.shape[1:3], 1))
    return _painted(images, 0.7 * draw.change() * noise * draw.patch())


def blur_patch(images: Tensor, seed: Tensor) -> Tensor:
    """A patch of any form that is out of focus."""
    draw = _Draw(images, seed)
    blurred = images
    for _ in range(2):
        blurred = tf.nn.avg_pool2d(blurred, 5, 1, "SAME")
    return _painted(images, draw.patch() * (blurred - images))


def texture_patch(images: Tensor, seed: Tensor) -> Tensor:
    """A patch of any form from another image, turned by a quarter."""
    draw = _Draw(images, seed)
    other = tf.image.rot90(tf.roll(images, 1, axis=0))
    return _painted(images, draw.patch() * (other - images))


def edge_wear(images: Tensor, seed: Tensor) -> Tensor:
    """A flat piece that eats in from one side, with a rough edge."""
    draw, side = _Draw(images, seed), images.shape[1]
    edge = draw.smooth(0, 1, 8) * draw.uniform(1, 2.0, 9.0)
    edge += draw.uniform(2, 0.05, 0.35) * side
    down, _ = draw.axes()
    covered = tf.clip_by_value(edge[:, :1] - down, 0.0, 1.0)
    covered = tf.where(draw.uniform(3) < 0.5, covered, covered[:, ::-1])
    covered = tf.where(draw.uniform(4) < 0.5, covered, tf.transpose(covered, (0, 2, 1, 3)))
    piece = draw.uniform(5, -1.0, 1.0)
    piece += draw.uniform(6, 0.0, 0.1) * draw.normal(7, (side, side, 1))
    return _painted(images, covered * (piece - images))


DEFECTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "crack": crack,
    "scratch": scratch,
    "spots": spots,
    "soft_blob": soft_blob,
    "blob": blob,
    "noise_patch": noise_patch,
    "blur_patch": blur_patch,
    "texture_patch": texture_patch,
    "edge_wear": edge_wear,
}


class _Draw:
    """Chance for each of some images, a function of the seed and a slot."""

    def __init__(self, images: Tensor, seed: Tensor) -> None:
        self.images, self.seed = images, seed

    def uniform(
        self, slot: int, low: float = 0.0, high: float = 1.0, shape: tuple[int, ...] = (1, 1, 1)
    ) -> Tensor:
        """Numbers in [low, high), `[N, *shape]`."""
        shape = (tf.shape(self.images)[0], *shape)
        return tf.random.stateless_uniform(shape, self._slot(slot), low, high)

    def normal(self, slot: int, shape: tuple[int, ...]) -> Tensor:
        """Numbers from N(0, 1), `[N, *shape]`."""
        shape = (tf.shape(self.images)[0], *shape)
        return tf.random.stateless_normal(shape, self._slot(slot))

    def _slot(self, slot: int) -> Tensor:
        return self.seed + tf.constant([200 + slot, 0])

    def axes(self) -> tuple[Tensor, Tensor]:
        """Rows `[1, S, 1, 1]` and columns `[1, 1, S, 1]` of the pixels."""
        places = tf.range(self.images.shape[1], dtype=self.images.dtype)
        return places[None, :, None, None], places[None, None, :, None]

    def change(self) -> Tensor:
        """How much brighter or darker, `[N, 1, 1, 1]`: as often faint as strong."""
        low, high = math.log(_FAINTEST), math.log(_STRONGEST)
        return tf.exp(self.uniform(90, low, high)) * tf.where(self.uniform(91) < 0.5, -1.0, 1.0)

    def disc(self, slot: int, least: float, most: float, softness: float | Tensor = 0.8) -> Tensor:
        """1 inside an oval whose radius is in that range, `[N, S, S, 1]`."""
        side = self.images.shape[1]
        centre = (self.uniform(slot + i, 0.05, 0.95) * side for i in range(2))
        y, x = (axis - middle for axis, middle in zip(self.axes(), centre))
        angle = self.uniform(slot + 2, 0.0, math.pi)
        along = x * tf.cos(angle) + y * tf.sin(angle)
        off = (-x * tf.sin(angle) + y * tf.cos(angle)) / self.uniform(slot + 3, 0.5, 1.0)
        radius = tf.exp(self.uniform(slot + 4, math.log(least), math.log(most)))
        return tf.sigmoid(2 * (radius - tf.sqrt(along**2 + off**2 + 1e-6)) / softness)

    def smooth(self, slot: int, rows: int, cells: int) -> Tensor:
        """Smooth noise `[N, S, S, 1]`, alike in all rows if there is one only."""
        side = self.images.shape[1]
        return tf.image.resize(self.normal(slot, (rows, cells, 1)), (side, side), method="bicubic")

    def patch(self) -> Tensor:
        """1 inside a patch of irregular form, `[N, S, S, 1]`."""
        noise = tf.where(self.uniform(60) < 0.5, self.smooth(61, 4, 4), self.smooth(62, 10, 10))
        ragged = tf.sigmoid(12 * (noise - self.uniform(63, -0.5, 0.8)))
        return self.disc(70, 5.0, 24.0) * tf.where(self.uniform(64) < 0.3, 1.0, ragged)


def _painted(images: Tensor, change: Tensor) -> Tensor:
    return tf.clip_by_value(images + change, -1.0, 1.0)


def _where(condition: Tensor) -> Tensor:
    return tf.cast(condition, tf.float32)


def cut_paste(images: Tensor, seed: Tensor) -> Tensor:
    """Paste a piece of another image, from another place (Li et al. 2021, "CutPaste")."""
    mask = _rectangle(images, seed, 0.15, 0.6)
    return images * (1 - mask) + _elsewhere(images, seed) * mask


def jigsaw(images: Tensor, seed: Tensor) -> Tensor:
    """Swap the halves of each image, upper with lower or left with right."""
    half = images.shape[1] // 2
    flat = tf.roll(images, half, axis=1)
    upright = tf.roll(images, half, axis=2)
    return tf.where(_uniform(images, seed, 0) < 0.5, flat, upright)


def perlin(images: Tensor, seed: Tensor) -> Tensor:
    """Blend another place of another image into blobs of smooth noise.

    Zavrtanik et al. 2021, "DRAEM", with noise of two octaves in place of Perlin's.
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
    return images + blobs * strength * (_elsewhere(images, seed) - images)


def scar(images: Tensor, seed: Tensor) -> Tensor:
    """Draw a thin line of any direction, darker or lighter than what lies there."""
    side = images.shape[1]
    axis = (tf.range(side, dtype=images.dtype) + 0.5) / side
    down, across = axis[None, :, None, None], axis[None, None, :, None]
    angle = 3.14159 * _uniform(images, seed, 3)
    y = down - (0.2 + 0.6 * _uniform(images, seed, 4))
    x = across - (0.2 + 0.6 * _uniform(images, seed, 5))
    along = x * tf.cos(angle) + y * tf.sin(angle)
    off = -x * tf.sin(angle) + y * tf.cos(angle)
    length = 0.1 + 0.25 * _uniform(images, seed, 6)
    width = (0.6 + 1.4 * _uniform(images, seed, 7)) / side
    line = tf.cast((tf.abs(along) < length) & (tf.abs(off) < width), images.dtype)
    change = tf.where(_uniform(images, seed, 8) < 0.5, -1.0, 1.0)
    change *= 0.2 + 0.8 * _uniform(images, seed, 9)
    return tf.clip_by_value(images + line * change, -1.0, 1.0)


NEGATIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cut_paste": cut_paste,
    "jigsaw": jigsaw,
    "perlin": perlin,
    "scar": scar,
    **DEFECTS,
}
VISIBLE = 0.05  # the least change of a pixel that counts as one


def spoil(images: Tensor, kinds: Sequence[str], seed: Tensor) -> Tensor:
    """Return the images with one of `kinds` each, in equal parts; N is known beforehand."""
    count = images.shape[0]
    ends = [count * (i + 1) // len(kinds) for i in range(len(kinds))]
    parts = tf.split(images, [end - start for start, end in zip([0, *ends], ends)])
    spoilt = [
        NEGATIVES[kind](part, seed + tf.constant([16 * (i + 1), 0]))
        for i, (kind, part) in enumerate(zip(kinds, parts))
    ]
    return tf.concat(spoilt, axis=0)


def spoilt_places(images: Tensor, spoilt: Tensor, stride: int) -> Tensor:
    """Return 1 for each place of `stride` x `stride` pixels that was changed, `[N, H, W, 1]`."""
    change = tf.reduce_max(tf.abs(spoilt - images), axis=-1, keepdims=True)
    return tf.nn.max_pool2d(tf.cast(change > VISIBLE, images.dtype), stride, stride, "SAME")


def _uniform(images: Tensor, seed: Tensor, slot: int) -> Tensor:
    """One number in [0, 1) for each image, `[N, 1, 1, 1]`."""
    shape = (tf.shape(images)[0], 1, 1, 1)
    return tf.random.stateless_uniform(shape, seed + tf.constant([100 + slot, 0]))


def _rectangle(images: Tensor, seed: Tensor, least: float, most: float) -> Tensor:
    """1 inside a random rectangle of each image, `[N, S, S, 1]`; its sides are shares of S."""
    side = images.shape[1]
    centres = (tf.range(side, dtype=images.dtype) + 0.5) / side
    inside = []
    for slot, places in ((10, centres[None, :, None, None]), (12, centres[None, None, :, None])):
        length = least + (most - least) * _uniform(images, seed, slot)
        start = (1 - length) * _uniform(images, seed, slot + 1)
        inside.append((places >= start) & (places < start + length))
    return tf.cast(inside[0] & inside[1], images.dtype)


def _elsewhere(images: Tensor, seed: Tensor) -> Tensor:
    """The batch's neighbour of each image, rolled by a random way."""
    side = images.shape[1]
    way = tf.random.stateless_uniform((2,), seed, side // 8, side - side // 8, dtype=tf.int32)
    return tf.roll(tf.roll(images, 1, axis=0), way, axis=(1, 2))
