"""Score images with an exported detector: onnxruntime, Pillow and NumPy only, no augan.

EXPORT is the folder that `augan export RUN --part detector --out EXPORT` wrote. Images have 8 bits,
and are gray where the training images were.

    python examples/score_with_onnx.py EXPORT IMAGE...
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def prepare(path: Path, wanted: dict) -> np.ndarray:
    """Return what the graph takes, [1, H, W, C]: an image resized as in training."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    image = image.convert(wanted["mode"])
    size, longer = wanted["size"], max(image.size)
    if size is None:  # large images keep their scale, unless they are very large
        up, down = min(1, wanted["shortest"] / min(image.size), wanted["longest"] / longer), 1
    else:
        up, down = (1, 1) if size < 2 * longer <= 2 * size else (size, longer)
    width, height = (max(1, round(side * up / down)) for side in image.size)
    how = Image.Resampling.BOX if up < down else Image.Resampling.BILINEAR
    bands = [band.convert("F").resize((width, height), how) for band in image.split()]
    pixels = np.rint(np.stack(bands, axis=-1)).astype(wanted["dtype"])
    if size is not None:  # centred in a square, edges repeated
        rows, columns = size - height, size - width
        around = ((rows // 2, -(-rows // 2)), (columns // 2, -(-columns // 2)), (0, 0))
        pixels = np.pad(pixels, around, mode="edge")
    return pixels[None]


folder, *paths = map(Path, sys.argv[1:])
about = json.loads((folder / "detector.json").read_text(encoding="utf-8"))
session, line = onnxruntime.InferenceSession(folder / about["file"]), about["calibration_scores"]
for path in paths:
    ((score,),) = session.run(["score"], {"images": prepare(path, about["input"])})
    p_value = (1 + np.sum(np.array(line) >= score)) / (1 + len(line))
    says = "anomaly" if score > about["threshold"] else "normal"
    print(f"{path}: {says}, score {score:.6f}, p-value {p_value:.4f}")
