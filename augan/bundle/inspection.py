"""What `augan inspect` shows: a summary of a bundle, without building any network."""

import os
from typing import Any

import numpy as np

from augan.bundle.store import read_checked


def inspect_bundle(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a bundle says about itself, after all checks of `load_bundle`.

    Returns
    -------
    dict
        JSON-able: `path`, `id`, `sha256`, `format_version`, `versions`, `created`, `data`,
        `preprocessing`, `networks` (spec, parameters, arrays), `detector`, `calibration_size`
        (None without a calibration), `tables` (shape and dtype of each array), `sizes` (bytes of
        each member), `total_bytes` (of the file), `metrics`.
    """
    bundle, manifest = read_checked(path)
    networks = {
        name: {"spec": net.spec, "parameters": net.parameters, "arrays": len(net.weights)}
        for name, net in bundle.networks.items()
    }
    tables = {
        name: {key: {"shape": list(a.shape), "dtype": str(a.dtype)} for key, a in table.items()}
        for name, table in bundle.tables.items()
    }
    return {
        "path": str(bundle.path),
        "id": manifest.raw["sha256"][:12],
        "sha256": manifest.raw["sha256"],
        "format_version": manifest.version,
        "versions": bundle.versions,
        "created": bundle.created,
        "data": bundle.data,
        "preprocessing": bundle.preprocessing,
        "networks": networks,
        "detector": bundle.detector,
        "calibration_size": _calibration_size(bundle.tables.get("calibration")),
        "tables": tables,
        "sizes": manifest.sizes,
        "total_bytes": bundle.path.stat().st_size if bundle.path else 0,
        "metrics": bundle.metrics,
    }


def _calibration_size(table: dict[str, np.ndarray] | None) -> int | None:
    """Return the number of held-out normals: of "scores" if there, else of the longest array."""
    if not table:
        return None
    arrays = [table["scores"]] if "scores" in table else list(table.values())
    return max((array.shape[0] for array in arrays if array.ndim), default=0)
