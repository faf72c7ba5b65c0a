"""Ways to make candidates: noise or codes of real images, through the generator."""
