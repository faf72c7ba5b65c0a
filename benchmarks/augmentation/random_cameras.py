"""Random cameras: a grammar of renderings that draws new cameras for gray images of objects.

A camera is one operation of each of four groups, with parameters drawn from its seed:

- structure: edges, relief, local contrast, halftone, or defocus;
- tone: inversion, gamma, or false colors;
- background: plain, or photographs behind the object;
- finish: shading, tint, or grain.

The operations apply in this order. Some parts are random in every image: the position of the
halftone screen, the photograph, the direction of the shading, the balance of the tint, and the
grain. They depend on the seed and the position of the image only.

The cameras of a split are drawn as a Latin hypercube, so that every operation occurs about equally
often, and no two of all cameras share structure, tone and background. The development cameras serve
to choose settings; the test cameras are run once. The grammar was written without a look at the
filters of `augan.evaluation.translation.filter_bank`, which was committed before.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from augan.seeding import child_rng

Parameters = Mapping[str, Any]
Draw = Callable[[np.random.Generator], dict[str, Any]]

STRUCTURES = ("edges", "relief", "local-contrast", "halftone", "defocus")
TONES = ("inversion", "gamma", "false-colors")
BACKGROUNDS = ("plain", "photographs")
FINISHES = ("shading", "tint", "grain")
NUM_CAMERAS = 6  # of a split
SEED = 21  # of the grammar; the cameras of both splits follow from it


@dataclass(frozen=True)
class RandomCamera:
    """A camera of the grammar.

    Attributes
    ----------
    name : str
        Split and number, such as "dev-0".
    structure, tone, background, finish : str
        The operation of each group.
    parameters : dict of str to dict
        Parameters of each operation, by group.
    """

    name: str
    structure: str
    tone: str
    background: str
    finish: str
    parameters: dict[str, dict[str, Any]]

    @property
    def description(self) -> str:
        """The operations in the order in which they apply."""
        return f"{self.structure}, {self.tone}, {self.background}, {self.finish}"

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as a dict, ready for JSON."""
        return asdict(self)

    def operation(self, images: np.ndarray) -> np.ndarray:
        """Return images after structure and tone alone, float32 `[N, S, S, 3]` in 0 to 1.

        The halftone screen has the same position in all images.
        """
        gray = images.astype(np.float32) / 255
        structured = _STRUCTURE[self.structure](gray, self.parameters["structure"], None)
        return _TONE[self.tone](structured, self.parameters["tone"])

    def render(self, images: np.ndarray, seed: int, photographs: np.ndarray | None) -> np.ndarray:
        """Return images as the camera sees them.

        Parameters
        ----------
        images : ndarray of uint8 [N, S, S]
            Gray images of objects on black.
        seed : int
            Seed of the random parts of the images.
        photographs : ndarray of uint8 [M, S, S, 3] or None
            Backgrounds; unused by a camera with a plain background.

        Returns
        -------
        ndarray of uint8 [N, S, S, 3]
        """
        generators = [child_rng(seed, self.name, index) for index in range(len(images))]
        gray = images.astype(np.float32) / 255
        structured = _STRUCTURE[self.structure](gray, self.parameters["structure"], generators)
        colors = _TONE[self.tone](structured, self.parameters["tone"])
        if self.background == "photographs":
            if photographs is None:
                raise ValueError(f"camera {self.name} needs photographs as backgrounds, got none")
            colors = _on_photographs(
                colors, gray, photographs, self.parameters["background"], generators
            )
        colors = _FINISH[self.finish](colors, self.parameters["finish"], generators)
        return np.rint(255 * np.clip(colors, 0, 1)).astype(np.uint8)


@functools.cache
def random_cameras(split: str) -> tuple[RandomCamera, ...]:
    """Return the cameras of the split "dev" or "test"."""
    if split not in ("dev", "test"):
        raise ValueError(f"`split` must be 'dev' or 'test', got {split!r}")
    taken: set[tuple[str, str, str]] = set()
    if split == "test":
        taken.update((c.structure, c.tone, c.background) for c in random_cameras("dev"))
    rng = child_rng(SEED, "random-cameras", split)
    while True:
        columns = [_balanced(rng, group) for group in (STRUCTURES, TONES, BACKGROUNDS, FINISHES)]
        kinds = list(zip(*columns))
        combinations = {kind[:3] for kind in kinds}
        if len(combinations) == NUM_CAMERAS and not combinations & taken:
            break
    return tuple(
        RandomCamera(
            f"{split}-{number}",
            *kind,
            parameters={
                "structure": _DRAW[kind[0]](rng),
                "tone": _DRAW[kind[1]](rng),
                "background": _DRAW[kind[2]](rng),
                "finish": _DRAW[kind[3]](rng),
            },
        )
        for number, kind in enumerate(kinds)
    )


def _balanced(rng: np.random.Generator, names: tuple[str, ...]) -> list[str]:
    """Return `NUM_CAMERAS` names in random order, each about equally often."""
    rounds = -(-NUM_CAMERAS // len(names))
    pool = [name for _ in range(rounds) for name in rng.permutation(names)][:NUM_CAMERAS]
    return [str(name) for name in rng.permutation(pool)]


# Parameters ---------------------------------------------------------------------------------------


def _uniform(**ranges: tuple[float, float]) -> Draw:
    """Return a function that draws each parameter from its range."""
    return lambda rng: {
        name: round(float(rng.uniform(low, high)), 4) for name, (low, high) in ranges.items()
    }


def _draw_gamma(rng: np.random.Generator) -> dict[str, Any]:
    """Draw an exponent that clearly brightens or clearly darkens."""
    low, high = (0.3, 0.55) if rng.random() < 0.5 else (1.8, 3.2)
    return {"exponent": round(float(rng.uniform(low, high)), 4)}


def _draw_colors(rng: np.random.Generator) -> dict[str, Any]:
    """Draw five colors of which each differs clearly from the one before."""
    colors = [rng.random(3)]
    while len(colors) < 5:
        candidate = rng.random(3)
        if np.abs(candidate - colors[-1]).sum() > 0.8:
            colors.append(candidate)
    return {"colors": [[round(float(value), 4) for value in color] for color in colors]}


def _draw_tint(rng: np.random.Generator) -> dict[str, Any]:
    """Draw a light whose strongest channel is 1, and how much its balance varies."""
    light = rng.uniform(0.45, 1.0, 3)
    light /= light.max()
    return {
        "light": [round(float(value), 4) for value in light],
        "variation": round(float(rng.uniform(0.03, 0.1)), 4),
    }


_DRAW: dict[str, Draw] = {
    "edges": _uniform(blur=(0.4, 0.9), gain=(0.8, 1.4), fill=(0.0, 0.2)),
    "relief": _uniform(blur=(0.4, 0.9), gain=(0.9, 1.6), angle=(0.0, 2 * np.pi)),
    "local-contrast": _uniform(radius=(1.5, 3.5), gain=(0.15, 0.3)),
    "halftone": _uniform(cell=(2.8, 4.5), angle=(0.0, np.pi / 2), softness=(0.08, 0.25)),
    "defocus": _uniform(radius=(1.2, 2.4)),
    "inversion": _uniform(black=(0.0, 0.2), white=(0.75, 1.0)),
    "gamma": _draw_gamma,
    "false-colors": _draw_colors,
    "plain": _uniform(),
    "photographs": _uniform(contrast=(0.6, 1.0), threshold=(0.06, 0.12)),
    "shading": _uniform(strength=(0.4, 0.8)),
    "tint": _draw_tint,
    "grain": _uniform(deviation=(0.06, 0.13), size=(0.3, 0.8)),
}


# Operations ---------------------------------------------------------------------------------------

Generators = list[np.random.Generator]


def _blur(gray: np.ndarray, deviation: float) -> np.ndarray:
    return ndimage.gaussian_filter(gray, (0, deviation, deviation), mode="nearest")


def _gradient(gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the differences of neighbors across and down, by Sobel's filter divided by 4."""
    difference, mean = [-1, 0, 1], [0.25, 0.5, 0.25]
    smooth_down = ndimage.correlate1d(gray, mean, axis=1, mode="nearest")
    smooth_across = ndimage.correlate1d(gray, mean, axis=2, mode="nearest")
    across = ndimage.correlate1d(smooth_down, difference, axis=2, mode="nearest")
    return across, ndimage.correlate1d(smooth_across, difference, axis=1, mode="nearest")


def _edges(gray: np.ndarray, p: Parameters, generators: Generators | None) -> np.ndarray:
    """Edges shine; the surface keeps a part of its brightness."""
    across, down = _gradient(_blur(gray, p["blur"]))
    return np.clip(p["gain"] * np.hypot(across, down) + p["fill"] * gray, 0, 1)


def _relief(gray: np.ndarray, p: Parameters, generators: Generators | None) -> np.ndarray:
    """Slopes toward the light are bright, slopes away from it dark, all else gray."""
    across, down = _gradient(_blur(gray, p["blur"]))
    slope = np.cos(p["angle"]) * across + np.sin(p["angle"]) * down
    return np.clip(0.5 + p["gain"] * slope, 0, 1)


def _local_contrast(gray: np.ndarray, p: Parameters, generators: Generators | None) -> np.ndarray:
    """Each place is compared with its surroundings, in units of their deviation."""
    mean = _blur(gray, p["radius"])
    deviation = np.sqrt(np.maximum(_blur(gray**2, p["radius"]) - mean**2, 0))
    return np.clip(0.5 + p["gain"] * (gray - mean) / (deviation + 0.05), 0, 1)


def _halftone(gray: np.ndarray, p: Parameters, generators: Generators | None) -> np.ndarray:
    """Dots on a turned screen, larger where the object is brighter."""
    size = gray.shape[1]
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    u = np.cos(p["angle"]) * columns + np.sin(p["angle"]) * rows
    v = np.cos(p["angle"]) * rows - np.sin(p["angle"]) * columns
    if generators is None:
        phases = np.zeros((len(gray), 2), np.float32)
    else:
        phases = np.array([rng.uniform(0, 2 * np.pi, 2) for rng in generators], np.float32)
    frequency = 2 * np.pi / p["cell"]
    screen = np.cos(frequency * u + phases[:, :1, None]) + np.cos(
        frequency * v + phases[:, 1:, None]
    )
    threshold = 0.5 - 0.25 * screen  # from 0 in the middle of a dot to 1 between the dots
    return 1 / (1 + np.exp(-(gray - 0.04 - 0.92 * threshold) / (p["softness"] * 0.5)))


def _defocus(gray: np.ndarray, p: Parameters, generators: Generators | None) -> np.ndarray:
    """Every point becomes a disc."""
    reach = int(np.ceil(p["radius"]))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(p["radius"] + 0.5 - np.hypot(rows, columns), 0, 1).astype(np.float32)
    return ndimage.convolve(gray, (disc / disc.sum())[None], mode="nearest")


def _inversion(gray: np.ndarray, p: Parameters) -> np.ndarray:
    return _as_colors(p["black"] + (p["white"] - p["black"]) * (1 - gray))


def _gamma(gray: np.ndarray, p: Parameters) -> np.ndarray:
    return _as_colors(gray ** p["exponent"])


def _false_colors(gray: np.ndarray, p: Parameters) -> np.ndarray:
    """Brightness selects a color on a path through the drawn colors."""
    colors = np.array(p["colors"], np.float32)
    positions = np.linspace(0, 1, len(colors))
    channels = [np.interp(gray, positions, colors[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def _on_photographs(
    colors: np.ndarray,
    gray: np.ndarray,
    photographs: np.ndarray,
    p: Parameters,
    generators: Generators,
) -> np.ndarray:
    """Put every object in front of a random photograph, mirrored at random."""
    covered = np.clip(_blur(gray, 0.6) / p["threshold"] - 0.5, 0, 1)[..., None]
    result = np.empty_like(colors)
    for index, rng in enumerate(generators):
        photograph = photographs[rng.integers(len(photographs))].astype(np.float32) / 255
        if rng.random() < 0.5:
            photograph = photograph[:, ::-1]
        photograph = 0.5 + p["contrast"] * (photograph - 0.5)
        result[index] = covered[index] * colors[index] + (1 - covered[index]) * photograph
    return result


def _shading(colors: np.ndarray, p: Parameters, generators: Generators) -> np.ndarray:
    """The light falls off in a random direction."""
    size = colors.shape[1]
    rows, columns = np.mgrid[:size, :size].astype(np.float32) / (size - 1) - 0.5
    angles = np.array([rng.uniform(0, 2 * np.pi) for rng in generators], np.float32)
    ramp = np.cos(angles)[:, None, None] * columns + np.sin(angles)[:, None, None] * rows
    return colors * (1 - p["strength"] * (ramp / np.sqrt(2) + 0.5))[..., None]


def _tint(colors: np.ndarray, p: Parameters, generators: Generators) -> np.ndarray:
    """Colored light, whose balance varies from image to image."""
    light = np.array(p["light"], np.float32)
    balance = np.array([rng.normal(0, p["variation"], 3) for rng in generators], np.float32)
    return colors * (light + balance)[:, None, None]


def _grain(colors: np.ndarray, p: Parameters, generators: Generators) -> np.ndarray:
    """Gray noise of neighboring pixels that depend on each other."""
    size = colors.shape[1]
    noise = np.stack([rng.standard_normal((size, size), np.float32) for rng in generators])
    point = np.zeros((1, 15, 15), np.float32)
    point[0, 7, 7] = 1
    deviation = float(np.sqrt((_blur(point, p["size"]) ** 2).sum()))  # of the blurred noise
    return colors + p["deviation"] / deviation * _blur(noise, p["size"])[..., None]


def _as_colors(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[..., None], 3, axis=-1)


_STRUCTURE = {
    "edges": _edges,
    "relief": _relief,
    "local-contrast": _local_contrast,
    "halftone": _halftone,
    "defocus": _defocus,
}
_TONE = {"inversion": _inversion, "gamma": _gamma, "false-colors": _false_colors}
_FINISH = {"shading": _shading, "tint": _tint, "grain": _grain}
