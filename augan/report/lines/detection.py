"""What was flagged."""

from augan.detect.api import DetectionResult


def detection_lines(result: DetectionResult) -> list[str]:
    """Say how many images were flagged, which most, and what the rate promises."""
    noun, lines = result.noun, [f"warning: {text}" for text in result.warnings]
    lines += [f"unreadable: {path} ({reason})" for path, reason in result.unreadable[:10]]
    if len(result.unreadable) > 10:
        lines.append(f"unreadable: {len(result.unreadable) - 10} more, see scores.csv")
    lines.append(f"{result.num_anomalies} of {result.num_scored} {noun} flagged as anomalies")
    flagged = [scored for scored in result.most_anomalous if scored.anomaly]
    row = "row " if noun == "rows" else ""
    lines += [f"  {scored.score:8.2f}  {row}{scored.path}" for scored in flagged]
    if more := result.num_anomalies - len(flagged):
        lines.append(f"  and {more:,} more, see scores.csv")
    lines.append(result.guarantee.sentence)
    lines.append(f"scores: {result.out / 'scores.csv'}")
    return lines
