"""Command line of augan: each command parses options, calls a public function, prints its result.

Nothing in this package decides anything about images or networks; the library does.
"""

import time

STARTED = time.monotonic()  # before any heavy import, so that --max-minutes covers start-up
