"""What a site's own history says: noise, temperature, speeds and set points, as TOML to edit."""
