"""Finding text in whole images: maps of a network, boxes, crops, and the order to read them in."""
