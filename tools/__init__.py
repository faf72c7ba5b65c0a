"""Tools that check or document augan and are not part of the package."""
