"""From a file to passages that can be found: parsing, splitting, vectors, and rankings made one. No rows and no model here."""
