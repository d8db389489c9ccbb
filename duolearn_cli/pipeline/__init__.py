"""Everything that knows about run folders: prepared data, model cache, the stages of a run, worker processes."""
