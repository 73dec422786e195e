"""What happens between a request and its log. No word of HTTP in here."""
