"""What operators choose, see and do about messages that failed or are to be sent again."""
