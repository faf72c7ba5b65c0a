"""Fingerprint of a prepared dataset, which identifies the training data of a bundle."""

import json

from augan.data.cache import PreparedDataset
from augan.data.modalities.base import Preprocessing
from augan.io.hashing import sha256_parts


def dataset_fingerprint(
    prepared: PreparedDataset,
    preprocessing: Preprocessing,
    unlabeled: PreparedDataset | None = None,
) -> str:
    """Return the SHA-256 of the prepared training data, by which a bundle recognizes its data.

    The digest depends on the values, type, shape and order of the samples and on the labels, but
    not on names, groups or class names. For a table, the preprocessing (the names of columns)
    counts too.

    Parameters
    ----------
    prepared : PreparedDataset
        The labeled training samples, or all samples if there are no labels.
    preprocessing : Preprocessing
        The preprocessing of the samples.
    unlabeled : PreparedDataset or None
        The training samples without labels; None (default): none.
    """
    labels = prepared.dataset.labels
    # The cache knows the SHA-256 of the pixels, so they are not read again.
    parts = [prepared.sha256.encode()]
    parts.append(json.dumps([str(prepared.pixels.dtype), prepared.pixels.shape]).encode())
    values = preprocessing.identifying_values()
    if values is not None:
        parts.append(json.dumps(values).encode())
    if labels is not None:
        parts.append(labels.tobytes())
    if unlabeled is not None:
        parts.append(unlabeled.sha256.encode() + json.dumps(unlabeled.pixels.shape).encode())
    return sha256_parts(parts)
