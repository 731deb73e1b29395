"""The build: plan, stages, engines, folder."""
