"""What a run will cost, estimated before a model is loaded: memory, steps, time."""
