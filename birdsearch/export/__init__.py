"""Photos leave for other tools, and come back."""
