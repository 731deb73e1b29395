"""What every run shares: optimisers, schedules, precision, exact resume, guardian, trackers, report."""
