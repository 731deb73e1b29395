"""What a task is, and one file per family: record -> features -> loss -> answer -> metric."""
