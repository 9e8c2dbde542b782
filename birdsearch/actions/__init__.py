"""What is done to a user's files: the steps, the journal of each run, and undo. No other code touches them."""
