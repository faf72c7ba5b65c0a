"""Scoring of images with an exported detector: onnxruntime, Pillow and NumPy only, no augan.

EXPORT is the output folder of `augan export RUN --part detector --out EXPORT`. The images have 8
bits per channel. They are gray if the training images were gray.

    python examples/score_with_onnx.py EXPORT IMAGE...
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def prepare(path: Path, spec: dict) -> np.ndarray:
    """Return the graph's input [1, H, W, C]: the image, resized as in training."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    image = image.convert(spec["mode"])
    size, longer = spec["size"], max(image.size)
    if size is None:  # large images keep their scale up to a maximum
        up, down = min(1, spec["shortest"] / min(image.size), spec["longest"] / longer), 1
    else:
        up, down = (1, 1) if size < 2 * longer <= 2 * size else (size, longer)
    width, height = (max(1, round(side * up / down)) for side in image.size)
    resampling = Image.Resampling.BOX if up < down else Image.Resampling.BILINEAR
    bands = [band.convert("F").resize((width, height), resampling) for band in image.split()]
    pixels = np.rint(np.stack(bands, axis=-1)).astype(spec["dtype"])
    if size is not None:  # centered in a square, edge pixels repeated
        rows, columns = size - height, size - width
        padding = ((rows // 2, -(-rows // 2)), (columns // 2, -(-columns // 2)), (0, 0))
        pixels = np.pad(pixels, padding, mode="edge")
    return pixels[None]


folder, *paths = map(Path, sys.argv[1:])
detector = json.loads((folder / "detector.json").read_text(encoding="utf-8"))
session = onnxruntime.InferenceSession(folder / detector["file"])
calibration_scores = np.array(detector["calibration_scores"])
for path in paths:
    ((score,),) = session.run(["score"], {"images": prepare(path, detector["input"])})
    p_value = (1 + np.sum(calibration_scores >= score)) / (1 + len(calibration_scores))
    decision = "anomaly" if score > detector["threshold"] else "normal"
    print(f"{path}: {decision}, score {score:.6f}, p-value {p_value:.4f}")
