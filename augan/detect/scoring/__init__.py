"""Parts of scores that several detection methods share."""
