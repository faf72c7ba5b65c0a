"""`augan export`: a part of a bundle as a graph that runs without augan."""

from pathlib import Path
from typing import Annotated, Any

import typer

from augan_cli.errors import with_debug
from augan_cli.options import Json, Method, Out, Recorded, find, show


@with_debug
def export(
    run: Annotated[Path, typer.Argument(help="Run folder or bundle.")],
    part: Annotated[str, typer.Option(help="generator or detector.")],
    format: Annotated[str, typer.Option(help="onnx.")] = "onnx",
    method: Method = None,
    out: Out = None,
    data: Recorded = None,
    as_json: Json = False,
) -> None:
    """Write a detector or generator as an ONNX graph that needs no augan, and prove it.

    Beside the graph, PART.json has all that a scorer needs (resizing, threshold, calibration
    scores; codes and classes of a generator), and parity.json how far the graph differs from augan
    on held-out images. The exit code is 1, and nothing is written, if it differs by more than
    rounding.
    """
    from augan.export.api import export_onnx

    result = export_onnx(find(run), part, out, method=method, data=data, format=format)
    show(_lines(result), result.to_dict(), as_json)


def _lines(result: Any) -> list[str]:
    """Say what was written, and how far it can be trusted."""
    parity, part = result.parity, result.part
    what = " ".join(word for word in (result.method, part) if word)
    lines = [f"warning: {text}" for text in result.warnings]
    lines.append(f"{what}: {result.out / f'{part}.onnx'}, with {', '.join(result.files)}")
    lines.append(f"compared with augan's own on {parity.compared}")
    largest, relative = parity.largest_difference, parity.relative_difference
    if part == "generator":
        return [*lines, f"pixels differ by at most {largest:.2g}, {relative:.2g} of their range"]
    agreeing = parity.num_samples - parity.num_disagreeing
    lines.append(
        f"scores differ by at most {largest:.2g}, {relative:.2g} deviations of calibration scores"
    )
    return [
        *lines,
        f"decisions at the rate {parity.rate:g}: {agreeing} of {parity.num_samples} agree; "
        f"{parity.num_near} of these scores are no further than that from the line",
    ]
