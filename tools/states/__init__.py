"""Series filtered, filled and continued: states between and beyond the dates."""
