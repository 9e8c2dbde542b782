"""The only code that moves a user's files: plan, steps, apply, undo, journal."""
