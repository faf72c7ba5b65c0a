"""`python -m augan_cli`, the same as `augan`."""

from augan_cli.main import main

main()
