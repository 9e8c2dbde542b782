"""fastdup: features only (run_mode=1), with its own small network."""

import sys

import fastdup  # type: ignore[import-not-found]

fastdup.run(sys.argv[1], work_dir=sys.argv[2], run_mode=1, num_threads=2)
