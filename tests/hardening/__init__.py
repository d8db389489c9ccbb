"""Wrong, damaged and hostile inputs, one table a kind. docs/hardening.md counts them."""
