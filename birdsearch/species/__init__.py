"""What labelled vectors tell."""
