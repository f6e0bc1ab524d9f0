"""One image of many bands and one of many pixels become one of both, with or without change between them."""
