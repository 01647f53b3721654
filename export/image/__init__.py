"""A card's image, built without root and to the same bytes each time."""
