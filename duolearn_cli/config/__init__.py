"""Every setting in one place: the schema, how it is composed from YAML and flags, checked and explained."""
