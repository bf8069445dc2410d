"""What runs out of the box: the echo bot, its demo, and the page where you play with it."""
