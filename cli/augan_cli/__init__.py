"""Command line of augan: each command parses options, calls a public function, prints its result.

Nothing here decides anything about images or networks; that is the library's part.
"""

import time

STARTED = time.monotonic()  # before any heavy import, so that --max-minutes covers start-up
