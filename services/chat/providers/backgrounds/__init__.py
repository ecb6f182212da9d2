"""What is known of a character from film database and encyclopaedia; cached, never waited for long."""
