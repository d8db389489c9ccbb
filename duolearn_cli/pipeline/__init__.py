"""Everything that knows a run folder: the study, cached models, the stages of a run, worker processes."""
