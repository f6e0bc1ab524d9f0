"""The explorer: a dock that shows what is in the pixels that are clicked on the map."""
