"""Tables of the robustness checks, and of all rows measured on a test split."""

from tools.docs.tables.common import (
    RESULTS,
    Row,
    fixed,
    group_by,
    load_rows,
    markdown,
    with_provenance,
    yes_no,
)

CASE_NAMES = {"finished": "`--resume` of the finished run"}


def resume() -> str:
    """Return the table that compares resumed trainings with an uninterrupted training."""
    rows = load_rows("resume")
    lines = []
    for row in rows:
        when = [
            f"{kill['seconds']:.0f} s, {kill['part']}"
            + (f" {kill['step']}" if kill["step"] else "")
            + f" ({kill['checkpoint']})"
            for kill in row["kills"]
        ]
        stages = ", then ".join(moment.split()[0] for moment in row["moments"])
        case = stages if row["case"].startswith("drawn") else row["case"]
        lost = row.get("seconds_lost")
        same = ("same_bundle", "same_log", "same_pictures", "same_checkpoints")
        lines.append(
            [
                CASE_NAMES.get(case, case),
                "; ".join(when) or "none",
                *(yes_no(row[name]) for name in same),
                str(len(row["left_over"])),
                str(row.get("updates_again", 0)),
                "" if lost is None else fixed(lost, 1),
            ]
        )
    header = [
        "killed in",
        "after seconds, in stage at update (last checkpoint)",
        "same bundle",
        "log",
        "images",
        "checkpoints",
        "files left over",
        "updates repeated",
        "seconds lost",
    ]
    return with_provenance(markdown(header, lines), rows, "resume.jsonl")


def crash_recovery() -> str:
    """Return the table of the files that killed commands leave, before and after the repetition."""
    rows = load_rows("kills")
    lines = []
    for command, of in group_by(rows, "arm").items():
        killed = [row for row in of if row["killed"]]
        counts = [
            sum(bool(row[name]) for row in of) for name in ("false_whole", "different", "left_over")
        ]
        lines.append(
            [
                command,
                str(len(of)),
                str(len(killed)),
                str(sum(row["had_written"] > 0 for row in killed)),
                *map(str, counts),
            ]
        )
    header = [
        "command",
        "repeated",
        "killed in time",
        "of these had begun to write",
        "false",
        "different",
        "left over",
    ]
    return with_provenance(markdown(header, lines), rows, "kills.jsonl")


def test_split_rows() -> str:
    """Return the number of rows on test splits for each benchmark, date and variant."""
    lines = []
    every: list[Row] = []
    for file in sorted(RESULTS.glob("*.jsonl")):
        rows = load_rows(file.stem, split="test")
        every += rows
        groups: dict[tuple[str, ...], list[Row]] = {}
        for row in rows:
            version = f"version {row['version']}" if "version" in row else ""
            groups.setdefault((row["date"], row["variant"], version), []).append(row)
        for (date, variant, version), of in sorted(groups.items()):
            names = [row.get("method") or row["arm"] for row in of]
            counts = [f"{name} {names.count(name)}" for name in dict.fromkeys(names)]
            shown = ", ".join(part for part in (variant, version) if part)
            lines.append([f"`{file.name}`", shown, date, str(len(of)), ", ".join(counts)])
    table = markdown(["file", "variant", "date", "rows", "rows of each method or arm"], lines)
    return f"{table}\n\n*{len(every)} rows on test splits in `benchmarks/results/`.*"


TABLES = {
    "robustness-resume": resume,
    "robustness-crash-recovery": crash_recovery,
    "test-split-rows": test_split_rows,
}
