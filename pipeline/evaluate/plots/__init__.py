"""The points of every plot, and the pictures drawn of them."""
