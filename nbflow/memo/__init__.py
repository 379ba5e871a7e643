"""What a cell remembers: its key, what it read and changed, and how both are put back."""
