"""Tables, figures and pages, made from numbers and files. Nothing here loads a model."""
