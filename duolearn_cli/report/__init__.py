"""Tables, figures and pages from numbers and files. Never loads a model."""
