"""Helpers of the tests, and where things lie."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
REAL_PHOTOS = ROOT.parent / "shared/data/birds300"  # beside the checkout; tests that need them skip where they are not
