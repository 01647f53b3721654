"""From a site to a card: what a gateway reads at its first boot, and the card it reads it from."""
