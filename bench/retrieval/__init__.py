"""How well questions find the page that answers them, and how fast."""
