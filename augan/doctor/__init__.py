"""Checks of the machine and of the installation, for `augan doctor`."""
