"""What an evaluation of a detector found."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from augan.evaluation.detection.api import Judgement

SHOWN = 10  # of the files that were left out


def evaluation_lines(judgement: Judgement) -> list[str]:
    """Say how well a detector separates, what it flags, and what baselines reach."""
    summary, noun = judgement.summary, judgement.summary["noun"]
    lines = [f"warning: {text}" for text in summary["warnings"]]
    broken = [f"{item['path']} ({item['reason']})" for item in summary["unreadable"]]
    lines += _left_out("unreadable", broken) + _left_out("without a label", summary["unlabelled"])
    lines.append(
        f"{summary['num_normal']} normal {noun} ({summary['normal']}) and "
        f"{summary['num_anomalies']} anomalies of {_count(judgement.kinds, 'kind')}"
    )
    best = summary["best_f1"]
    lines.append(
        f"AUROC {_area(summary['auroc'])}, average precision {summary['average_precision']:.3f}, "
        f"best F1 {best['value']:.3f} (oracle: its threshold is chosen on these labels)"
    )
    lines += _decisions(summary)
    lines += [
        f"  {kind['kind']}: {kind['count']}, AUROC {_area(kind['auroc'])}, "
        f"detected {_rate(kind['detected'])}"
        for kind in judgement.kinds
    ]
    lines += _pixels(summary["pixels"])
    lines += _power(summary["power"])
    lines += _baselines(judgement)
    if summary["out"] is not None:
        lines.append(f"evaluation: {summary['out']}")
    return lines


def _decisions(summary: Mapping[str, Any]) -> Iterator[str]:
    alarms = summary["false_alarms"]
    verdict = "as" if alarms["as_expected"] else "NOT as"
    alike = "folds share images" if alarms["num_folds"] else "groups resemble each other"
    alike = alike if alarms["promised"] else "nothing is promised of this detector"
    about = "" if alarms["exact"] else f"approximately, because {alike}, "
    yield (
        f"false alarms at rate {summary['far']:.3g}: {_rate(alarms)}; {verdict} calibrated: "
        f"{about}{alarms['expected_low']} to {alarms['expected_high']} are expected"
    )
    yield f"detected at that rate: {_rate(summary['detected'])}"


def _pixels(pixels: Mapping[str, Any] | None) -> Iterator[str]:
    if pixels is None:
        return
    yield from _left_out("no defect marked", pixels["without_mask"])
    yield (
        f"pixels: AUROC {pixels['auroc']:.3f}, AUPRO {pixels['aupro']:.3f} (to a false-positive "
        f"rate of {pixels['max_fpr']:g}) on {pixels['num_images']} images, "
        f"{pixels['num_anomalies']} with a defect"
    )


def _power(power: Mapping[str, Any] | None) -> Iterator[str]:
    if power is None:
        return
    yield f"spots painted on {power['num_images']} normal images, at rate {power['rate']:g}:"
    for contrast, smallest in power["smallest"].items():
        shares = ", ".join(
            f"{row['size']} px {row['rate']:.0%}"
            for row in power["rows"]
            if f"{row['contrast']:g}" == contrast
        )
        found = f"caught in 90 % from {smallest} px" if smallest else "never caught in 90 %"
        yield f"  contrast {contrast}: {found} ({shares})"


def _baselines(judgement: Judgement) -> Iterator[str]:
    summary = judgement.summary
    if summary["baselines_skipped"] is not None:
        yield f"no baselines: {summary['baselines_skipped']}"
        return
    yield f"baselines on {summary['num_baseline_training']} of the training {summary['noun']}:"
    for row in judgement.baselines:
        kinds = ", ".join(f"{kind} {value:.3f}" for kind, value in row["kinds"].items())
        more = f"; {kinds}" if len(row["kinds"]) > 1 else ""
        yield f"  {row['method']}: AUROC {_area(row['auroc'])}{more}"


def _left_out(why: str, names: Sequence[str]) -> list[str]:
    more = [f"{why}: {len(names) - SHOWN} more, {len(names)} in all"] if names[SHOWN:] else []
    return [f"{why}: {name}" for name in names[:SHOWN]] + more


def _count(kinds: Sequence[Mapping[str, Any]], noun: str) -> str:
    return f"{len(kinds)} {noun}{'' if len(kinds) == 1 else 's'}"


def _area(interval: Mapping[str, float]) -> str:
    return f"{interval['value']:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"


def _rate(estimate: Mapping[str, Any]) -> str:
    return (
        f"{estimate['count']} of {estimate['n']} = {estimate['rate']:.1%} "
        f"({estimate['low']:.1%} to {estimate['high']:.1%})"
    )
