"""Which photos are the same picture, and which to keep."""
