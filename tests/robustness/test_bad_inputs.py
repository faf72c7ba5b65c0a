"""Tests of the page of error messages: its rows, and the detection of defects."""

import pytest

from tools.robustness.bad_inputs.cases import CASES
from tools.robustness.bad_inputs.environments import CommandResult
from tools.robustness.bad_inputs.run import COMMAND, PAGE, find_defects, measure, read_table, table

ERROR = "error: no; do that\n"


def committed():
    return read_table(PAGE.read_text(encoding="utf-8"))


def test_page_has_every_case_with_its_expected_exit_code():
    rows = committed()
    assert list(rows) == [case.name for case in CASES], f"run {COMMAND}"
    for case in CASES:
        assert rows[case.name] in ("0" if case.succeeds else "2", "-"), case.name
    assert list(rows.values()).count("-") <= 3
    assert COMMAND in PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
def test_page_matches_the_current_output():
    rows = list(measure(CASES))
    assert [(row.name, row.defects) for row in rows if row.defects] == []
    current, expected = read_table(table(rows)), committed()
    ran = [name for name in expected if "-" not in (expected[name], current[name])]
    assert len(ran) > len(CASES) - 5
    assert {name: current[name] for name in ran} == {name: expected[name] for name in ran}
    assert current.keys() == expected.keys()


def test_find_defects_accepts_valid_results():
    assert find_defects(CommandResult(2, "", f"model: a\nwarning: b\n{ERROR}"), {}, False) == ()
    assert find_defects(CommandResult(2, "", ERROR), {"NEW/run.json": (1, 1)}, False) == ()
    assert (
        find_defects(CommandResult(0, "bundle: x\n", "gan  100%  step 20  loss 1.0\n"), {}, True)
        == ()
    )


@pytest.mark.parametrize(
    ("result", "succeeds", "left", "defect"),
    [
        (CommandResult(1, "", ERROR), False, [], "exit code 1"),
        (CommandResult(0, "", ""), False, [], "exit code 0"),
        (CommandResult(2, "", ERROR), True, [], "exit code 2"),
        (CommandResult(2, "", ERROR + ERROR), False, [], "got 2 lines"),
        (CommandResult(2, "", "no\n"), False, [], "got 1 lines"),
        (CommandResult(2, "", ""), False, [], "got 0 lines"),
        (CommandResult(2, "some\n", ERROR), False, [], "standard output"),
        (
            CommandResult(0, "", "E0000 meta_optimizer\n"),
            True,
            [],
            "unexpected lines on standard error",
        ),
        (CommandResult(2, "", "error: Traceback (most\n"), False, [], "message of Python"),
        (CommandResult(2, "", "error: unexpected KeyError: 3\n"), False, [], "message of Python"),
        (CommandResult(2, "", "error: [Errno 28] No space\n"), False, [], "message of Python"),
        (CommandResult(2, "", ERROR), False, ["RUN/.config.yaml.part"], "partial files"),
        (CommandResult(0, "", ""), True, ["runs/.made.17.part/3/0.png"], "partial files"),
    ],
)
def test_find_defects_names_the_defect(result, succeeds, left, defect):
    found = find_defects(result, dict.fromkeys(left, (1, 1)), succeeds)
    assert len(found) == 1
    assert defect in found[0]
