"""Medical concepts: the hierarchy, its validation, and the matcher that finds mentions of concepts in text."""
