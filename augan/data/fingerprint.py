"""One hash that says whether data is the very data that a bundle was trained on."""

import hashlib
import json

from augan.data.cache import PreparedImages
from augan.data.modalities.registry import AnyPreprocessing
from augan.data.modalities.tabular import TabularPreprocessing


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
    digest = hashlib.sha256(squares.sha256.encode())
    digest.update(json.dumps([str(squares.pixels.dtype), squares.pixels.shape]).encode())
    if isinstance(preprocessing, TabularPreprocessing):
        # The same numbers under other names are other data.
        digest.update(json.dumps(preprocessing.to_dict()).encode())
    if labels is not None:
        digest.update(labels.tobytes())
    if unlabeled is not None:
        digest.update(unlabeled.sha256.encode() + json.dumps(unlabeled.pixels.shape).encode())
    return digest.hexdigest()
