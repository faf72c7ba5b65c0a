"""The command line of augan: it parses, calls one public function, and prints."""

import time

STARTED = time.monotonic()  # before anything heavy is imported, so that --max-minutes covers it
