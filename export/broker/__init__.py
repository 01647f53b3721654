"""The reference broker: Mosquitto, a CA of its own, a certificate a gateway, an access list."""
