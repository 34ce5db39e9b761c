"""How tests start processes."""
