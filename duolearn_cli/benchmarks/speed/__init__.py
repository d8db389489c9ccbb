"""What a step and an evaluation cost, beside plain ways of doing the same. docs/speed.md says how it is measured."""
