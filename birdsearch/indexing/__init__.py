"""Files in, committed photos out."""
