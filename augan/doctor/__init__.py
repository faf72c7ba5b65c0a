"""Diagnosis of the machine and the installation, for the command `augan doctor`."""
