"""Files of a bundle: what is inside, who signed it, who may load it."""
