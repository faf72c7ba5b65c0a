"""Entry point of `python -m augan_cli`, the same program as `augan`."""

from augan_cli.main import main

main()
