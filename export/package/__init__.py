"""What is flashed onto a gateway: Talus and its wheels, as a .deb or a folder."""
