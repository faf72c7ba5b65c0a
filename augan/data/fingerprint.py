"""One hash that says whether data is the very data that a bundle was trained on."""

import json

from augan.data.cache import PreparedImages
from augan.data.modalities.registry import AnyPreprocessing
from augan.data.modalities.tabular import TabularPreprocessing
from augan.io.hashing import sha256_parts


def dataset_fingerprint(
    squares: PreparedImages,
    preprocessing: AnyPreprocessing,
    unlabeled: PreparedImages | None = None,
) -> str:
    """Return the hash of prepared data: its stored samples in their order, and their labels.

    Parameters
    ----------
    squares
        The samples that are trained on.
    preprocessing
        How they were prepared.
    unlabeled
        Images beside them whose classes nobody has named.
    """
    labels = squares.dataset.labels
    # The digest of the pixels is stored with them where they are cached.
    parts = [squares.sha256.encode()]
    parts.append(json.dumps([str(squares.pixels.dtype), squares.pixels.shape]).encode())
    if isinstance(preprocessing, TabularPreprocessing):
        # The same numbers under other names are other data.
        parts.append(json.dumps(preprocessing.to_dict()).encode())
    if labels is not None:
        parts.append(labels.tobytes())
    if unlabeled is not None:
        parts.append(unlabeled.sha256.encode() + json.dumps(unlabeled.pixels.shape).encode())
    return sha256_parts(parts)
