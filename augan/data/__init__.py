"""Loading, preparing and splitting the user's images; import from the defining modules."""
