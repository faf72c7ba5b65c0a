"""Resolution of class names and indices."""

import pytest

from augan.data.dataset import resolve_class
from augan.exceptions import DataError

DIGITS = [str(digit) for digit in range(10)]


class TestResolveClass:
    def test_resolve_class_prefers_the_name_to_the_index(self) -> None:
        names = ["9", "8", *"cdefghij"]
        assert resolve_class("9", names) == 0
        assert resolve_class("c", names) == 2
        assert resolve_class("7", list("abcdefgh")) == 7  # no class is named by a number

    @pytest.mark.parametrize("number", ["3", "0", "4", "01"])
    def test_a_number_is_a_name_where_classes_are_named_by_numbers(self, number: str) -> None:
        names = ["1", "2", "5", "10", "20"]
        with pytest.raises(DataError, match=rf"no class '{number}'; the classes are: 1, 2, 5"):
            resolve_class(number, names)
        assert resolve_class("10", names) == 3
        with pytest.raises(DataError, match="no class '0'"):
            resolve_class("0", ["-1", "1"])

    def test_names_are_compared_in_one_unicode_form(self) -> None:
        composed, decomposed = "Kratz\u00e9r", "Kratze\u0301r"
        assert resolve_class(composed, ["Beule", decomposed]) == 1
        assert resolve_class(decomposed, ["Beule", composed]) == 1

    @pytest.mark.parametrize("name", ["10", "-1", "three", "", "1.0", "²"])
    def test_resolve_class_names_the_classes_when_the_class_is_unknown(self, name: str) -> None:
        with pytest.raises(DataError, match=r"0, 1, 2, 3, 4, 5, 6, 7, 8, 9"):
            resolve_class(name, DIGITS)

    def test_resolve_class_suggests_a_similar_name(self) -> None:
        with pytest.raises(DataError, match=r"no class 'shrit'.*did you mean shirt\?"):
            resolve_class("shrit", ["coat", "shirt", *"cdefghij"])
