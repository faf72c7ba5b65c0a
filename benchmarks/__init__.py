"""Measurements that claims about augan rest on; see NOTES.md for what they say."""
