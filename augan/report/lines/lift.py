"""What an evaluation of lift found."""

from collections.abc import Iterator, Mapping
from typing import Any

from augan.evaluation.augmentation.experiment import Lift, points

SHOWN = 5  # near-duplicates


def lift_lines(lift: Lift) -> list[str]:
    """Say what each arm reached, and whether synthetic images lift."""
    summary = lift.summary
    lines = [f"warning: {text}" for text in summary["warnings"]]
    twins = summary["near_duplicates"][:SHOWN]
    lines += [f"  {one['test']} resembles {one['seen']}" for one in twins]
    groups = summary["num_test_groups"]
    of = "" if groups is None else f" of {groups} groups"
    lines.append(
        f"{summary['metric']} on {summary['num_test']} test images{of}, mean of "
        f"{summary['num_draws']} draws:"
    )
    lines += [
        f"  {row['arm']:13} {row['balanced_accuracy']:6.1%}  accuracy {row['accuracy']:6.1%}  "
        f"macro-F1 {row['macro_f1']:6.1%}  {row['said']}"
        for row in sorted(lift.arms, key=lambda row: -row["balanced_accuracy"])
    ]
    lines += second_figures(summary)
    lines += [f"evaluation: {summary['out']}", lift.sentence]
    return lines


def second_figures(summary: Mapping[str, Any]) -> Iterator[str]:
    """Say the gain over arms that have less data, and the lift without near-duplicates."""
    gain, strict = summary["gain_over_labelled_only"], summary["without_near_duplicates"]
    if gain is not None:
        yield f"over arms without the unlabelled images, which is no lift: {_said(gain)}"
    if strict is not None:
        yield f"without near-duplicates among the test images: {_said(strict)}"


def _said(figure: Mapping[str, Any]) -> str:
    return (
        f"{points(figure['value'])} points [{100 * figure['low']:.1f}, "
        f"{100 * figure['high']:.1f}] against {figure['rival']}"
    )
