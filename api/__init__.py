"""What a frontend talks to."""
