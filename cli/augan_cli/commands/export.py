"""Command `augan export`: a detector, generator or translator as an ONNX graph."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augan_cli.errors import handle_errors
from augan_cli.options import (
    JsonOption,
    MethodOption,
    OutOption,
    TrainingDataOption,
    resolve_bundle,
)
from augan_cli.output import print_result

if TYPE_CHECKING:
    from augan.export.api import ExportResult


_Part = Annotated[
    str,
    typer.Option(help="Part to export: generator, detector, translator or back_translator."),
]


@handle_errors
def export_command(
    run: Annotated[Path, typer.Argument(help="Run folder or bundle file.")],
    part: _Part,
    format: Annotated[str, typer.Option(help="File format; only onnx.")] = "onnx",
    method: MethodOption = None,
    out: OutOption = None,
    training_data: TrainingDataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a detector, generator or translator as an ONNX graph without augan, and verify it.

    Next to the graph, PART.json holds what a program needs to use it (for a detector: resizing,
    threshold, calibration scores; for a generator: latent codes and classes), and parity.json says
    how much the graph differs from augan on held-out images. If the difference is more than
    rounding, nothing is written and the exit code is 1.
    """
    from augan.export.api import export_onnx

    result = export_onnx(
        resolve_bundle(run), part, out, method=method, training_data=training_data, format=format
    )
    print_result(_lines(result), result.to_dict(), as_json)


def _lines(result: "ExportResult") -> list[str]:
    """Return the lines that `augan export` prints: files, and differences from augan."""
    from augan.export.parity import DetectorParity

    parity, part = result.parity, result.part
    name = " ".join(word for word in (result.method, part) if word)
    largest, relative = parity.largest_difference, parity.relative_difference
    lines = [
        *(f"warning: {text}" for text in result.warnings),
        f"{name}: {result.out / f'{part}.onnx'}, with {', '.join(result.files)}",
        f"compared with augan on {parity.compared}",
    ]
    if not isinstance(parity, DetectorParity):
        return [*lines, f"pixels differ by at most {largest:.2g}, {relative:.2g} of their range"]
    num_agreeing = parity.num_samples - parity.num_disagreeing
    return [
        *lines,
        f"scores differ by at most {largest:.2g}, which is {relative:.2g} standard deviations of "
        "the calibration scores",
        f"decisions at the rate {parity.rate:g}: {num_agreeing} of {parity.num_samples} agree; "
        f"scores within that difference of the threshold: {parity.num_borderline}",
    ]
