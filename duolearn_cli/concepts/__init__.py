"""Medical concepts: the hierarchy, its validation, and the matcher that finds concepts in text."""
