"""The steps, oldest first; each is named for what it makes and numbered."""
