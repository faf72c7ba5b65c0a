"""`python -m augan_cli` is `augan`."""

from augan_cli.app import main

main()
