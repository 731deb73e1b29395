"""Named benchmarks: their official files and figures."""
