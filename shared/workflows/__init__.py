"""What each function does, end to end: the only place where providers, stores and destinations meet."""
