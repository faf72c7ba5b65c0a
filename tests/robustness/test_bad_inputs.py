"""The table of bad inputs: that it is what augan answers now, and that its judge is strict."""

import pytest

from tools.robustness.bad_inputs.cases import CASES
from tools.robustness.bad_inputs.environments import Answer
from tools.robustness.bad_inputs.run import COMMAND, PAGE, _defects, measure, read_table, table

ERROR = "error: no; do that\n"


def committed():
    return read_table(PAGE.read_text(encoding="utf-8"))


def test_the_page_has_every_case_with_the_code_that_is_promised():
    rows = committed()
    assert list(rows) == [case.name for case in CASES], f"run {COMMAND}"
    for case in CASES:
        assert rows[case.name] in ("0" if case.goes_on else "2", "-"), case.name
    assert list(rows.values()).count("-") <= 3
    assert COMMAND in PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_page_is_what_augan_answers_now():
    rows = list(measure(CASES))
    assert [(row.name, row.defects) for row in rows if row.defects] == []
    now, then = read_table(table(rows)), committed()
    ran = [name for name in then if "-" not in (then[name], now[name])]
    assert len(ran) > len(CASES) - 5
    assert {name: now[name] for name in ran} == {name: then[name] for name in ran}
    assert now.keys() == then.keys()


def test_what_keeps_the_promise():
    assert _defects(Answer(2, "", f"model: a\nwarning: b\n{ERROR}"), {}, False) == ()
    assert _defects(Answer(2, "", ERROR), {"NEW/run.json": (1, 1)}, False) == ()
    assert _defects(Answer(0, "bundle: x\n", "gan  100%  step 20  loss 1.0\n"), {}, True) == ()


@pytest.mark.parametrize(
    ("answer", "goes_on", "left", "defect"),
    [
        (Answer(1, "", ERROR), False, [], "exit code 1"),
        (Answer(0, "", ""), False, [], "exit code 0"),
        (Answer(2, "", ERROR), True, [], "exit code 2"),
        (Answer(2, "", ERROR + ERROR), False, [], "2 lines"),
        (Answer(2, "", "no\n"), False, [], "1 lines"),
        (Answer(2, "", ""), False, [], "0 lines"),
        (Answer(2, "some\n", ERROR), False, [], "standard output"),
        (Answer(0, "", "E0000 meta_optimizer\n"), True, [], "unexpected on standard error"),
        (Answer(2, "", "error: Traceback (most\n"), False, [], "not made for a person"),
        (Answer(2, "", "error: unexpected KeyError: 3\n"), False, [], "not made for a person"),
        (Answer(2, "", "error: [Errno 28] No space\n"), False, [], "not made for a person"),
        (Answer(2, "", ERROR), False, ["RUN/.config.yaml.part"], "half-written"),
        (Answer(0, "", ""), True, ["runs/.made.17.part/3/0.png"], "half-written"),
    ],
)
def test_what_breaks_it(answer, goes_on, left, defect):
    found = _defects(answer, dict.fromkeys(left, (1, 1)), goes_on)
    assert len(found) == 1
    assert defect in found[0]
