"""Jobs in parts, done here, by workers of this and other machines, or share by share."""
