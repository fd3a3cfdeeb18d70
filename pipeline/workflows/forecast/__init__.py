"""How long a render will take, and what memory and disk it needs, before its first frame."""
