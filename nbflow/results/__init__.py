"""Values: what identifies them, how they are kept, and when a kept one may be used."""
