"""Unlearning methods: one module for each, and `base`, which says what a method receives and returns."""
